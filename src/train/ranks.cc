#include "train/ranks.h"

#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/error.h"

namespace hoist::train {

struct Ranks::Program {
  ir::Graph graph;
  std::vector<const void*> inputs;  // whole tensors
};

struct Ranks::Rank {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<device::Device> device = device::make_cpu_device();
  std::unique_ptr<device::DiskTier> disk;  // where a budget is set
  std::unique_ptr<runtime::StateStore> states;
  std::unique_ptr<runtime::PlanCache> plans;
  std::shared_ptr<device::Buffer> arena;
  bool arena_given_back = false;
  std::vector<const plan::Built*> built;
  std::vector<std::unique_ptr<runtime::Executor>> executors;
  std::vector<std::vector<std::vector<std::byte>>> inputs;  // [program][input]: this rank's cut
};

namespace {

// Copies a box of a whole row-major tensor to or from its contiguous shard.
void copy_box(const ir::Type& whole, const passes::Box& box, std::byte* whole_data, std::byte* shard,
              bool to_shard) {
  const int rank = whole.rank();
  const int64_t width = dtype_size(whole.dtype);
  if (rank == 0) {
    std::memcpy(to_shard ? shard : whole_data, to_shard ? whole_data : shard, static_cast<size_t>(width));
    return;
  }
  int64_t rows = 1;
  for (int i = 0; i + 1 < rank; ++i) rows *= box.length[i];
  const int64_t run = box.length[rank - 1];
  std::vector<int64_t> index(static_cast<size_t>(rank), 0);
  for (int64_t r = 0; r < rows; ++r) {
    int64_t at = 0;
    for (int i = 0; i < rank; ++i)
      at = at * whole.dims[i].size + box.offset[i] + (i + 1 < rank ? index[static_cast<size_t>(i)] : 0);
    std::byte *w = whole_data + at * width, *s = shard + r * run * width;
    std::memcpy(to_shard ? s : w, to_shard ? w : s, static_cast<size_t>(run * width));
    for (int i = rank - 2; i >= 0; --i) {
      if (++index[static_cast<size_t>(i)] < box.length[i]) break;
      index[static_cast<size_t>(i)] = 0;
    }
  }
}

}  // namespace

Ranks::Ranks(const RanksOptions& options) : options_(options) {
  const int n = options.strategy.ranks();
  std::vector<int> sizes;
  for (const auto& d : options.strategy.mesh) sizes.push_back(d.size);
  if (sizes.empty()) sizes.push_back(1);
  world_ = std::make_unique<comm::ThreadWorld>(sizes);
  const Topology topology = Topology::detect();
  const int cores = static_cast<int>(topology.cores.size());
  const int threads = options.threads > 0 ? options.threads : std::max(1, cores / n);
  options_.build.compile.threads = threads;
  for (int r = 0; r < n; ++r) {
    auto rank = std::make_unique<Rank>();
    ThreadPoolOptions pool;
    pool.threads = threads;
    pool.first_core = r * threads;
    rank->pool = std::make_unique<ThreadPool>(pool);
    if (options_.memory > 0) {
      options_.build.compile.memory = options_.memory / n;
      rank->disk = std::make_unique<device::DiskTier>(options_.disk_folder);
    }
    rank->states = std::make_unique<runtime::StateStore>(*rank->device, rank->disk.get());
    rank->plans =
        std::make_unique<runtime::PlanCache>(kernels::cpu_table(kernels::best_isa()), options_.build);
    ranks_.push_back(std::move(rank));
  }
}

Ranks::~Ranks() = default;

int Ranks::add(const ir::Graph& global) {
  auto program = std::make_unique<Program>();
  program->graph = global;
  program->inputs.assign(global.inputs.size(), nullptr);
  programs_.push_back(std::move(program));
  for (int r = 0; r < size(); ++r) {
    const plan::Built& built = ranks_[static_cast<size_t>(r)]->plans->get(global, options_.strategy, r);
    ranks_[static_cast<size_t>(r)]->built.push_back(&built);
    if (r > 0) continue;
    for (size_t i = 0; i < global.states.size(); ++i) {
      const ir::State& s = global.states[i];
      auto known = std::find_if(states_.begin(), states_.end(), [&](auto& x) { return x.first == s.name; });
      if (known == states_.end())
        states_.push_back({s.name, {global.type(s.value), built.states[i]}});
      else
        HOIST_CHECK(known->second.sharding == built.states[i],
                    "two programs split state " + s.name + " differently");
    }
  }
  return static_cast<int>(programs_.size()) - 1;
}

void Ranks::prepare() {
  for (int r = 0; r < size(); ++r) {
    Rank& rank = *ranks_[static_cast<size_t>(r)];
    int64_t arena = 0;
    for (const plan::Built* b : rank.built) arena = std::max(arena, b->plan.arena_bytes);
    rank.arena = std::make_shared<device::Buffer>(rank.device->allocate(arena));
    for (size_t p = 0; p < programs_.size(); ++p) {
      runtime::ExecutorContext context{
          *rank.device, *rank.pool, *rank.states, {}, r == 0 ? options_.trace : nullptr, rank.arena};
      for (size_t d = 0; d < options_.strategy.mesh.size(); ++d)
        context.groups[options_.strategy.mesh[d].name.str()] = &world_->group(r, static_cast<int>(d));
      rank.executors.push_back(std::make_unique<runtime::Executor>(rank.built[p]->plan, context));
      rank.inputs.emplace_back();
      for (const plan::InputSlot& slot : rank.built[p]->plan.inputs)
        rank.inputs.back().emplace_back(static_cast<size_t>(slot.type.bytes()));
    }
  }
}

void Ranks::set_input(int program, std::string_view name, const void* whole) {
  Program& p = *programs_[static_cast<size_t>(program)];
  int i = p.graph.find_input(name);
  HOIST_CHECK(i >= 0, "program has no input " + std::string(name));
  p.inputs[static_cast<size_t>(i)] = whole;
}

void Ranks::run(int program) {
  Program& p = *programs_[static_cast<size_t>(program)];
  each_rank([&](int r) {
    Rank& rank = *ranks_[static_cast<size_t>(r)];
    const plan::Built& built = *rank.built[static_cast<size_t>(program)];
    for (size_t i = 0; i < p.inputs.size(); ++i) {
      const ir::Type& type = p.graph.type(p.graph.inputs[i].value);
      std::byte* cut = rank.inputs[static_cast<size_t>(program)][i].data();
      copy_box(type, passes::shard_box(type, built.inputs[i], options_.strategy, r),
               const_cast<std::byte*>(static_cast<const std::byte*>(p.inputs[i])), cut, true);
      rank.executors[static_cast<size_t>(program)]->bind_input(p.graph.inputs[i].name, cut);
    }
    if (rank.arena_given_back) {
      malloc_trim(0);  // what whole states passed through is the arena's again
      rank.arena->take();
      rank.arena_given_back = false;
    }
    rank.executors[static_cast<size_t>(program)]->run();
  });
}

void Ranks::each_rank(FunctionRef<void(int)> body) {
  if (size() == 1) return body(0);
  std::mutex mutex;
  std::string failure;
  std::vector<std::thread> threads;
  for (int r = 0; r < size(); ++r)
    threads.emplace_back([&, r] {
      try {
        body(r);
      } catch (const std::exception& e) {
        world_->abort(r, e.what());
        std::lock_guard lock(mutex);
        if (failure.empty()) failure = e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  if (!failure.empty()) throw Error(ErrorCode::kUnavailable, failure);
}

kernels::TensorView Ranks::output(int program, std::string_view name) const {
  return ranks_[0]->executors[static_cast<size_t>(program)]->output(name);
}

const Ranks::StateInfo& Ranks::state(const std::string& name) const {
  for (const auto& [n, info] : states_)
    if (n == name) return info;
  throw_not_found("no state named '" + name + "'");
}

// Under a budget, whoever reads or writes whole states needs memory for them: the arena's, between runs.
void Ranks::make_room(Rank& rank) const {
  if (options_.memory == 0 || rank.arena_given_back) return;
  rank.states->release();
  rank.arena->give_back();
  rank.arena_given_back = true;
}

void Ranks::write_state(const std::string& name, const void* whole) {
  const StateInfo& s = state(name);
  std::vector<std::byte> shard;
  for (int r = 0; r < size(); ++r) {
    make_room(*ranks_[static_cast<size_t>(r)]);
    runtime::StateStore& states = *ranks_[static_cast<size_t>(r)]->states;
    std::byte* to = states.data(name);
    if (!to && size() == 1) {
      states.write(name, whole);
      continue;
    }
    if (!to) shard.resize(static_cast<size_t>(states.type(name).bytes()));
    copy_box(s.type, passes::shard_box(s.type, s.sharding, options_.strategy, r),
             const_cast<std::byte*>(static_cast<const std::byte*>(whole)), to ? to : shard.data(), true);
    if (!to) states.write(name, shard.data());
  }
}

void Ranks::read_state(const std::string& name, void* whole) const {
  const StateInfo& s = state(name);
  std::vector<std::byte> shard;
  for (int r = 0; r < size(); ++r) {
    make_room(*ranks_[static_cast<size_t>(r)]);
    runtime::StateStore& states = *ranks_[static_cast<size_t>(r)]->states;
    std::byte* from = states.data(name);
    if (!from && size() == 1) {
      states.read(name, whole);
      continue;
    }
    if (!from) {
      shard.resize(static_cast<size_t>(states.type(name).bytes()));
      states.read(name, shard.data());
      from = shard.data();
    }
    copy_box(s.type, passes::shard_box(s.type, s.sharding, options_.strategy, r),
             static_cast<std::byte*>(whole), from, false);
  }
}

std::byte* Ranks::direct(const std::string& name) const {
  for (const auto& rank : ranks_) make_room(*rank);  // nullptr makes the caller allocate
  return size() == 1 ? ranks_[0]->states->data(name) : nullptr;
}

std::vector<std::string> Ranks::state_names() const {
  std::vector<std::string> out;
  for (const auto& [name, info] : states_) out.push_back(name);
  return out;
}

ir::Role Ranks::role(const std::string& name) const { return ranks_[0]->states->role(name); }
const ir::Type& Ranks::global_type(const std::string& name) const { return state(name).type; }
int64_t Ranks::state_bytes() const { return ranks_[0]->states->bytes(); }
int64_t Ranks::disk_bytes() const { return ranks_[0]->disk ? ranks_[0]->disk->reserved() : 0; }
device::DiskStats Ranks::disk_stats() const {
  return ranks_[0]->disk ? ranks_[0]->disk->stats() : device::DiskStats{};
}
const plan::Plan& Ranks::plan(int program) const {
  return ranks_[0]->built[static_cast<size_t>(program)]->plan;
}
int64_t Ranks::arena_bytes() const { return ranks_[0]->arena->bytes(); }

}  // namespace hoist::train
