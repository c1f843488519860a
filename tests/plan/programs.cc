#include "plan/programs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "ops/tensors.h"

namespace hoist::testing {

using ir::Graph;
using ir::Type;

namespace {
constexpr int64_t kVocab = 24;
}  // namespace

io::ModelConfig tiny_config(io::Family family, int64_t layers) {
  io::ModelConfig c = io::default_model_config(family);
  c.family = family;
  c.vocab = kVocab;
  c.hidden = 16;
  c.heads = 4;
  c.kv_heads = family == io::Family::kGpt2 ? 4 : 2;
  c.head_dim = 4;
  c.intermediate = 24;
  c.layers = layers;
  c.max_position = 64;
  c.tie_word_embeddings = family == io::Family::kGpt2;
  return c;
}

passes::TrainGraphs tiny_training(const io::ModelConfig& config, const models::TrainShape& shape,
                                  int microbatches, const passes::OptimizerSpec& spec) {
  passes::PassRunner runner({});
  return passes::training_passes(models::train_graph(config, shape), spec, microbatches, runner);
}

models::ServeShape tiny_serve_shape() {
  models::ServeShape s;
  s.tokens = 12;
  s.seqs = 4;
  s.rows = 5;
  s.blocks = 12;
  s.block = 4;
  s.seq_blocks = 3;
  return s;
}

Bindings draw_inputs(const Graph& graph, uint64_t seed) {
  Bindings out;
  // Three sequences with 5, 1 and 4 new tokens, at positions from 3, 7 and 0; the other tokens are padding.
  struct Token {
    int seq, position, slot;
  };
  std::vector<Token> tokens;
  const int first[] = {3, 7, 0}, count[] = {5, 1, 4};
  auto block_of = [](int seq, int at) { return (seq * 3 + at) * 5 % 12; };
  for (int s = 0; s < 3; ++s)
    for (int i = 0; i < count[s]; ++i) {
      int p = first[s] + i;
      tokens.push_back({s, p, block_of(s, p / 4) * 4 + p % 4});
    }
  for (const ir::Input& input : graph.inputs) {
    const Type& type = graph.type(input.value);
    HostTensor t(type);
    CounterRng rng(seed, stable_hash(input.name));
    for (int64_t i = 0; i < type.elements(); ++i) {
      const auto at = static_cast<uint64_t>(i);
      double v = rng.normal(at);
      auto token = [&](auto f) { return i < static_cast<int64_t>(tokens.size()) ? f(tokens[at]) : -1; };
      if (input.name == "ids") v = static_cast<double>(rng.below(at, kVocab));
      if (input.name == "targets") v = static_cast<double>(rng.below(at, kVocab + 4)) - 4;  // some negative
      if (input.name == "lr") v = 1e-2;
      if (input.name == "step") v = 3;
      if (input.name == "positions") v = token([](const Token& x) { return x.position; });
      if (input.name == "slots") v = token([](const Token& x) { return x.slot; });
      if (input.name == "seqs") v = token([](const Token& x) { return x.seq; });
      if (input.name == "tables") v = i < 9 ? block_of(static_cast<int>(i / 3), static_cast<int>(i % 3)) : -1;
      if (input.name == "rows") v = static_cast<double>((i * 3 + 4) % 10);
      set(t, i, v);
    }
    out.emplace(input.name, std::move(t));
  }
  return out;
}

Bindings draw_states(const Graph& graph, uint64_t seed) {
  Bindings out;
  for (const ir::State& state : graph.states) {
    HostTensor t(graph.type(state.value));
    CounterRng rng(seed, stable_hash(state.name));
    for (int64_t i = 0; i < t.type.elements(); ++i) {
      double v = rng.normal(static_cast<uint64_t>(i));
      if (state.role == ir::Role::kParameter) v = 0.2 * v + (t.type.rank() == 1 ? 0.7 : 0.0);
      if (state.name.starts_with("adam_m.")) v *= 1e-2;
      if (state.name.starts_with("adam_v.")) v = 1e-3 * (0.1 + v * v);
      if (state.name == "acc.weight_sum") v = 17;
      set(t, i, v);
    }
    out.emplace(state.name, std::move(t));
  }
  // A master holds more digits of the parameter it belongs to.
  for (auto& [name, t] : out)
    if (auto it = out.find(passes::master_name(name)); it != out.end())
      for (int64_t i = 0; i < t.type.elements(); ++i) set(t, i, get(it->second, i));
  return out;
}

namespace {

HostTensor copy_of(const kernels::TensorView& view, const Type& type) {
  HostTensor t(type);
  if (int64_t bytes = view.elements() * dtype_size(view.dtype))
    std::memcpy(t.data.data(), view.data, static_cast<size_t>(bytes));
  return t;
}

Ran run_with(const plan::Plan& plan, const Bindings& inputs, const Bindings& states,
             const RunOptions& options, const std::map<std::string, comm::Group*>& groups) {
  auto device = device::make_cpu_device();
  // Making a pool looks at the machine, which takes a while. A pool of one keeps nothing, so all threads may
  // share it.
  static ThreadPool one{ThreadPoolOptions{1}};
  std::unique_ptr<ThreadPool> several;
  if (options.threads > 1) several = std::make_unique<ThreadPool>(ThreadPoolOptions{options.threads});
  ThreadPool& pool = several ? *several : one;
  std::unique_ptr<device::DiskTier> disk;
  if (plan.staging)
    disk = std::make_unique<device::DiskTier>(std::filesystem::temp_directory_path().string(),
                                              getenv("T") ? atoi(getenv("T")) : 4);
  runtime::StateStore store(*device, disk.get());
  runtime::Executor executor(plan, {*device, pool, store, groups, options.trace, nullptr});
  for (const plan::StateSlot& s : plan.states) store.write(s.name, states.at(s.name).data.data());
  const device::DiskStats before = disk ? disk->stats() : device::DiskStats{};
  for (const plan::InputSlot& i : plan.inputs) executor.bind_input(i.name, inputs.at(i.name).data.data());
  for (const runtime::LiveLength& l : options.live) executor.set_length(l.axis, l.length);
  for (int i = 0; i < options.runs; ++i) executor.run();
  Ran out;
  if (disk) {
    out.disk_read = disk->stats().bytes_read - before.bytes_read;
    out.disk_written = disk->stats().bytes_written - before.bytes_written;
  }
  for (const plan::OutputSlot& o : plan.outputs)
    out.outputs.emplace(o.name, copy_of(executor.output(o.name), o.tensor.type));
  for (const plan::StateSlot& s : plan.states)
    store.read(s.name, out.states.emplace(s.name, HostTensor(s.type)).first->second.data.data());
  out.stats = executor.stats();
  return out;
}

// Visits every element of a box: f(index in the whole, index in the shard).
void each_in_box(const Type& whole, const passes::Box& box, const std::function<void(int64_t, int64_t)>& f) {
  int64_t n = 1;
  for (int64_t l : box.length) n *= l;
  for (int64_t i = 0; i < n; ++i) {
    int64_t left = i, at = 0, stride = 1;
    for (int d = whole.rank() - 1; d >= 0; --d) {
      at += (left % box.length[d] + box.offset[d]) * stride;
      left /= box.length[d];
      stride *= whole.dims[d].size;
    }
    f(at, i);
  }
}

HostTensor cut(const HostTensor& whole, const passes::Box& box) {
  Type type = whole.type;
  for (int d = 0; d < type.rank(); ++d) type.dims[d].size = box.length[d];
  HostTensor out(type);
  each_in_box(whole.type, box, [&](int64_t w, int64_t s) { set(out, s, get(whole, w)); });
  return out;
}

}  // namespace

Ran run_plan(const plan::Plan& plan, const Bindings& inputs, const Bindings& states,
             const RunOptions& options) {
  return run_with(plan, inputs, states, options, {});
}

const kernels::KernelTable& cpu() { return kernels::cpu_table(kernels::best_isa()); }

plan::Built build_plan(const Graph& graph, const plan::CompileOptions& options,
                       const kernels::KernelTable& table) {
  plan::BuildOptions build;
  build.compile = options;
  return plan::build(graph, table, build);
}

Ran run_ranks(const Graph& graph, const passes::Strategy& strategy, const Bindings& inputs,
              const Bindings& states) {
  const int n = strategy.ranks();
  std::vector<plan::Built> built;
  for (int r = 0; r < n; ++r) built.push_back(plan::build(graph, cpu(), {}, strategy, r));
  std::vector<int> sizes;
  for (const auto& d : strategy.mesh) sizes.push_back(d.size);
  if (sizes.empty()) sizes.push_back(1);
  comm::ThreadWorld world(sizes);
  std::vector<Ran> ran(static_cast<size_t>(n));
  std::mutex mutex;
  std::string failure;
  std::vector<std::thread> threads;
  for (int r = 0; r < n; ++r)
    threads.emplace_back([&, r] {
      try {
        const plan::Built& b = built[static_cast<size_t>(r)];
        Bindings in, st;
        for (size_t i = 0; i < graph.inputs.size(); ++i) {
          const HostTensor& whole = inputs.at(graph.inputs[i].name);
          in.emplace(graph.inputs[i].name,
                     cut(whole, passes::shard_box(whole.type, b.inputs[i], strategy, r)));
        }
        for (size_t i = 0; i < graph.states.size(); ++i) {
          const HostTensor& whole = states.at(graph.states[i].name);
          st.emplace(graph.states[i].name,
                     cut(whole, passes::shard_box(whole.type, b.states[i], strategy, r)));
        }
        std::map<std::string, comm::Group*> groups;
        for (size_t d = 0; d < strategy.mesh.size(); ++d)
          groups[strategy.mesh[d].name.str()] = &world.group(r, static_cast<int>(d));
        ran[static_cast<size_t>(r)] = run_with(b.plan, in, st, {}, groups);
      } catch (const std::exception& e) {
        world.abort(r, e.what());
        std::lock_guard lock(mutex);
        if (failure.empty()) failure = e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  if (!failure.empty()) throw Error(ErrorCode::kUnavailable, failure);

  Ran out;
  out.stats = ran[0].stats;
  out.outputs = ran[0].outputs;
  for (int r = 1; r < n; ++r)
    for (auto& [name, t] : ran[static_cast<size_t>(r)].outputs)
      EXPECT_EQ(t.data, out.outputs.at(name).data) << "output " << name << " differs on rank " << r;
  for (size_t i = 0; i < graph.states.size(); ++i) {
    const std::string& name = graph.states[i].name;
    HostTensor whole(graph.type(graph.states[i].value));
    std::vector<uint8_t> seen(static_cast<size_t>(whole.type.elements()), 0);
    int64_t different = 0;
    for (int r = 0; r < n; ++r) {
      const HostTensor& shard = ran[static_cast<size_t>(r)].states.at(name);
      each_in_box(whole.type,
                  passes::shard_box(whole.type, built[static_cast<size_t>(r)].states[i], strategy, r),
                  [&](int64_t w, int64_t s) {
                    if (seen[static_cast<size_t>(w)]++)
                      different += !(get(whole, w) == get(shard, s));
                    else
                      set(whole, w, get(shard, s));
                  });
    }
    EXPECT_EQ(different, 0) << "copies of state " << name << " drifted apart";
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 0), 0)
        << "state " << name << " is not covered by the ranks";
    out.states.emplace(name, std::move(whole));
  }
  return out;
}

void expect_equal_values(const Bindings& got, const Bindings& want, const double* tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, value] : want) {
    ASSERT_TRUE(got.count(name)) << name;
    const Tolerance t = tolerance ? Tolerance{*tolerance} : Tolerance::exact();
    EXPECT_EQ(difference(got.at(name), value, &t), "") << name;
    // Zeros of either sign are equal numbers, but not equal bits.
    if (!tolerance) {
      EXPECT_TRUE(got.at(name).data == value.data) << name << ": other bits";
    }
  }
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace hoist::testing
