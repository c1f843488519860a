// The executor: live lengths, inputs bound again, states that stay, collectives among threads.
#include "runtime/executor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "ops/collectives.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/tensors.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Type;

TEST(Executor, EveryLiveLengthAgreesWithTheInterpreter) {
  const Graph graph = models::serve_graph(tiny_config(io::Family::kLlama), tiny_serve_shape());
  const plan::Plan plan = build_plan(graph).plan;
  const Bindings inputs = draw_inputs(graph, 5), states = draw_states(graph, 6);
  ThreadPool pool{ThreadPoolOptions{1}};
  for (int64_t tokens = 0; tokens <= 12; ++tokens)
    for (int64_t rows : {0, 1, 5}) {
      if (tokens == 0 && rows > 0) continue;
      SCOPED_TRACE(std::to_string(tokens) + " tokens, " + std::to_string(rows) + " rows");
      // The rows that are wanted must be tokens of this run.
      Bindings bound = inputs;
      for (int64_t i = 0; i < 5 && tokens; ++i)
        bound.at("rows").as<int32_t>()[i] = static_cast<int32_t>(i * 3 % tokens);
      RunOptions options;
      options.live = {{"tokens", tokens}, {"rows", rows}};
      const auto want = runtime::interpret(graph, bound, states, cpu(), pool, options.live);
      const Ran got = run_plan(plan, bound, states, options);
      const HostTensor a = slice(got.outputs.at("logits"), 0, 0, rows),
                       b = slice(want.outputs.at("logits"), 0, 0, rows);
      const double tolerance = 1e-5;  // fused and not
      expect_equal_values({{"logits", a}}, {{"logits", b}}, &tolerance);
      Bindings after = states;
      for (const auto& [name, t] : want.updates) after.at(name) = t;
      expect_equal_values(got.states, after, &tolerance);
    }
}

// The bits of a row do not depend on how many rows there are beside it.
TEST(Executor, LengthsDoNotChangeTheBitsOfARow) {
  const Graph graph = models::serve_graph(tiny_config(io::Family::kLlama), tiny_serve_shape());
  const plan::Plan plan = build_plan(graph).plan;
  Bindings inputs = draw_inputs(graph, 5);
  const Bindings states = draw_states(graph, 6);
  for (int64_t i = 0; i < 5; ++i) inputs.at("rows").as<int32_t>()[i] = static_cast<int32_t>(i);
  const HostTensor all = run_plan(plan, inputs, states).outputs.at("logits");
  for (int64_t tokens = 1; tokens <= 5; ++tokens) {
    RunOptions options;
    options.live = {{"tokens", tokens}, {"rows", tokens}};
    const HostTensor some = run_plan(plan, inputs, states, options).outputs.at("logits");
    EXPECT_TRUE(slice(some, 0, 0, tokens).data == slice(all, 0, 0, tokens).data) << tokens;
  }
}

TEST(Executor, OutputsAreCutToTheirLengthAndBytesCountWhatIsLive) {
  Graph graph;
  Builder b(graph);
  auto x = b.input("x", Type(DType::f32, {{"n", 8, true}, {"m", 3}}));
  b.output("y", ops::exp(b, x));
  const plan::Plan plan = build_plan(graph).plan;
  auto device = device::make_cpu_device();
  ThreadPool pool{ThreadPoolOptions{1}};
  runtime::StateStore states(*device);
  runtime::Executor executor(plan, {*device, pool, states, {}, nullptr, nullptr});
  std::vector<float> data(24, 0);
  executor.bind_input("x", data.data());
  int64_t bytes = 0;
  for (int64_t n : {8, 3, 0, 1}) {
    executor.set_length("n", n);
    executor.run();
    EXPECT_EQ(executor.output("y").elements(), 3 * n);
    bytes += 12 * n;
    EXPECT_EQ(executor.stats().bytes_read, bytes);
    EXPECT_EQ(executor.stats().bytes_written, bytes);
    for (int64_t i = 0; i < 3 * n; ++i) EXPECT_EQ(executor.output("y").as<float>()[i], 1.0f);
  }
  EXPECT_DEATH(executor.set_length("n", 9), "out of range");
  EXPECT_DEATH(executor.set_length("m", 1), "no live axis");
  EXPECT_DEATH(executor.bind_input("z", data.data()), "no input");
}

TEST(Executor, RunsSeeNewInputsAndKeepStates) {
  Graph graph;
  Builder b(graph);
  const Type type(DType::f32, {{"n", 2}});
  auto x = b.input("x", type), s = b.state("sum", type, ir::Role::kAccumulator);
  auto now = ops::add(b, s, x);
  b.update("sum", now);
  b.output("before", s);
  b.output("after", now);
  const plan::Plan plan = build_plan(graph).plan;
  auto device = device::make_cpu_device();
  ThreadPool pool{ThreadPoolOptions{1}};
  runtime::StateStore states(*device);
  runtime::Executor executor(plan, {*device, pool, states, {}, nullptr, nullptr});
  float total = 0;
  for (float v : {1.0f, 2.0f, 4.0f}) {
    const float data[2] = {v, -v};
    executor.bind_input("x", data);
    executor.run();
    EXPECT_EQ(executor.output("before").as<float>()[0], total);
    total += v;
    EXPECT_EQ(executor.output("after").as<float>()[0], total);
    EXPECT_EQ(states.view("sum").as<float>()[1], -total);
  }
}

// Collectives along every axis of a tensor, against loops over the ranks.
TEST(Executor, CollectivesAlongEveryAxis) {
  const int ranks = 2;
  const Type type(DType::f32, {{"a", 4}, {"b", 2}, {"c", 6}});
  for (const char* axis : {"a", "b", "c"}) {
    Graph graph;
    graph.stage = ir::Stage::kLowered;
    Builder b(graph);
    auto x = b.input("x", type);
    b.output("sum", ops::all_reduce(b, x, {"m", "sum"}));
    b.output("max", ops::all_reduce(b, x, {"m", "max"}));
    b.output("gathered", ops::all_gather(b, x, {"m", ranks, axis}));
    b.output("stacked", ops::all_gather(b, x, {"m", ranks, "rank"}));
    b.output("scattered", ops::reduce_scatter(b, x, {"m", ranks, axis, "sum"}));
    b.output("swapped", ops::all_to_all(b, x, {"m", ranks, axis, axis[0] == 'a' ? "c" : "a"}));
    const plan::Plan plan = plan::compile(graph, cpu(), {});
    comm::ThreadWorld world({ranks});
    std::vector<HostTensor> in;
    for (int r = 0; r < ranks; ++r) in.push_back(draw({type}, 100 + static_cast<uint64_t>(r)));
    std::vector<Bindings> out(ranks);
    std::vector<std::thread> threads;
    for (int r = 0; r < ranks; ++r)
      threads.emplace_back([&, r] {
        const auto at = static_cast<size_t>(r);
        auto device = device::make_cpu_device();
        ThreadPool pool{ThreadPoolOptions{1}};
        runtime::StateStore states(*device);
        runtime::Executor e(plan, {*device, pool, states, {{"m", &world.group(r, 0)}}, nullptr, nullptr});
        e.bind_input("x", in[at].data.data());
        e.run();
        for (const plan::OutputSlot& o : plan.outputs) {
          HostTensor t(o.tensor.type);
          std::memcpy(t.data.data(), e.output(o.name).data, t.data.size());
          out[at].emplace(o.name, std::move(t));
        }
      });
    for (std::thread& t : threads) t.join();
    const int dim = type.find(axis);
    HostTensor sum(type), max(type);
    for (int64_t i = 0; i < type.elements(); ++i) {
      set(sum, i, get(in[0], i) + get(in[1], i));
      set(max, i, std::max(get(in[0], i), get(in[1], i)));
    }
    const int64_t half = type.dims[dim].size / ranks;
    for (int r = 0; r < ranks; ++r) {
      SCOPED_TRACE(std::string(axis) + ", rank " + std::to_string(r));
      Bindings want;
      want.emplace("sum", sum);
      want.emplace("max", max);
      want.emplace("gathered", concatenate({in[0], in[1]}, dim));
      HostTensor stacked(out[0].at("stacked").type);
      std::memcpy(stacked.data.data(), in[0].data.data(), in[0].data.size());
      std::memcpy(stacked.data.data() + in[0].data.size(), in[1].data.data(), in[1].data.size());
      want.emplace("stacked", stacked);
      want.emplace("scattered", slice(sum, dim, r * half, (r + 1) * half));
      want.emplace("swapped", concatenate({slice(in[0], dim, r * half, (r + 1) * half),
                                           slice(in[1], dim, r * half, (r + 1) * half)},
                                          axis[0] == 'a' ? 2 : 0));
      expect_equal_values(out[static_cast<size_t>(r)], want);
    }
  }
}

}  // namespace
}  // namespace hoist::testing
