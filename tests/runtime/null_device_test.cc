// The null device runs plans of any size and computes nothing, so order, memory and bytes can be counted
// exactly.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

using io::Family;
using ir::Builder;
using ir::Graph;
using ir::Type;

// Everything a run on the null device needs; the plan outlives it.
struct NullRun {
  std::unique_ptr<device::Device> device = device::make_null_device();
  ThreadPool pool{ThreadPoolOptions{1}};
  runtime::StateStore states{*device};
  runtime::Trace trace;
  runtime::Executor executor;
  explicit NullRun(const plan::Plan& plan) : executor(plan, {*device, pool, states, {}, &trace, nullptr}) {
    static std::byte anything;  // never read
    for (const plan::InputSlot& i : plan.inputs) executor.bind_input(i.name, &anything);
  }
};

plan::Plan null_plan(const Graph& graph, plan::CompileOptions options = {}) {
  return build_plan(graph, options, kernels::null_table()).plan;
}

TEST(NullDevice, CountsTheBytesOfASmallGraphExactly) {
  Graph graph;
  Builder b(graph);
  auto x = b.input("x", Type(DType::f32, {{"rows", 3}, {"in", 5}}));
  auto w = b.state("w", Type(DType::bf16, {{"out", 7}, {"in", 5}}), ir::Role::kParameter);
  auto y = ops::contract(b, x, w, {"rows", "out"}, DType::f32);  // reads 60 + 70, writes 84
  b.output("y", ops::exp(b, y));                                 // reads 84, writes 84
  const plan::Plan plan = null_plan(graph);
  NullRun run(plan);
  run.executor.run();
  run.executor.run();
  EXPECT_EQ(run.executor.stats().runs, 2);
  EXPECT_EQ(run.executor.stats().launches, 2 * 2);
  EXPECT_EQ(run.executor.stats().bytes_read, 2 * (60 + 70 + 84));
  EXPECT_EQ(run.executor.stats().bytes_written, 2 * (84 + 84));
}

// Instructions in the order of execution: repeats written out.
std::vector<std::string> order_of(const plan::Plan& plan) {
  std::vector<std::string> out;
  for (const plan::Instruction& i : plan::unroll(plan).instructions)
    out.push_back(std::string(i.op ? i.op->name : "copy"));
  return out;
}

TEST(NullDevice, RunsEveryInstructionOnceAndFitsItsPlan) {
  for (Family family : {Family::kGpt2, Family::kLlama}) {
    const io::ModelConfig c = tiny_config(family, 8);
    models::TrainShape shape;
    shape.batch = 2;
    shape.seq = 8;
    const passes::TrainGraphs micro = tiny_training(c, shape, 4);
    for (const Graph& graph : {tiny_training(c, shape).step, micro.accumulate, micro.apply,
                               models::serve_graph(c, tiny_serve_shape())}) {
      SCOPED_TRACE(graph.name);
      const plan::Plan plan = null_plan(graph);
      NullRun run(plan);
      run.executor.run();
      EXPECT_EQ(run.executor.stats().launches, plan.launches());
      EXPECT_EQ(static_cast<int64_t>(run.trace.size()), plan.launches());
      EXPECT_EQ(static_cast<int64_t>(order_of(plan).size()), plan.launches());
      // Nothing is allocated but the arena and the states (each 64-byte aligned), and nothing while it runs.
      EXPECT_EQ(run.device->stats().bytes_peak, plan.arena_bytes + run.states.bytes());
      EXPECT_GE(run.states.bytes(), plan.state_bytes());
      EXPECT_LT(run.states.bytes(), plan.state_bytes() + 64 * static_cast<int64_t>(plan.states.size()));
      const int64_t allocations = run.device->stats().allocations;
      run.executor.run();
      EXPECT_EQ(run.device->stats().allocations, allocations);
    }
  }
}

// 117 layers of width 24576: more than 10^12 parameters in bf16 with f32 masters and moments, planned and run
// in seconds.
TEST(NullDevice, ATrillionParametersArePlannedAndRun) {
  io::ModelConfig c = io::default_model_config(Family::kLlama);
  c.vocab = 128256;
  c.hidden = 24576;
  c.heads = 192;
  c.kv_heads = 16;
  c.head_dim = 128;
  c.intermediate = 98304;
  c.layers = 117;
  c.max_position = 8192;
  EXPECT_GT(models::parameter_count(c), int64_t{1000} * 1000 * 1000 * 1000);
  models::TrainShape shape;
  shape.batch = 1;
  shape.seq = 8192;
  shape.dtype = DType::bf16;
  const plan::Plan plan = null_plan(tiny_training(c, shape).step);
  NullRun run(plan);
  run.executor.run();
  EXPECT_EQ(run.executor.stats().launches, plan.launches());
  // bf16 parameter, f32 master and two f32 moments.
  EXPECT_EQ(plan.state_bytes(), models::parameter_count(c) * 14);
  EXPECT_EQ(run.device->stats().bytes_peak, plan.arena_bytes + run.states.bytes());
  RecordProperty("arena_bytes", std::to_string(plan.arena_bytes));
  RecordProperty("instructions", static_cast<int>(plan.instructions.size()));

  models::ServeShape serve;
  serve.tokens = 4096;
  serve.seqs = 256;
  serve.rows = 256;
  serve.blocks = 65536;
  serve.dtype = serve.cache = DType::bf16;
  const plan::Plan serving = null_plan(models::serve_graph(c, serve));
  NullRun server(serving);
  server.executor.set_length("tokens", 256);
  server.executor.run();
  EXPECT_EQ(server.executor.stats().launches, serving.launches());
}

TEST(NullDevice, MemoryBeyondReachIsRefused) {
  auto device = device::make_cpu_device();
  EXPECT_EQ(error_of([&] { device->allocate(int64_t{1} << 60); }),
            "cpu device: cannot allocate 1152921504606846976 bytes");
  EXPECT_EQ(error_of([&] { device->allocate(-1); }), "cpu device: cannot allocate -1 bytes");
  EXPECT_EQ(device->stats().allocations, 0);
}

TEST(NullDevice, PlansMayShareAnArena) {
  const Graph graph = models::serve_graph(tiny_config(Family::kLlama), tiny_serve_shape());
  const plan::Plan plan = null_plan(graph);
  auto device = device::make_null_device();
  ThreadPool pool{ThreadPoolOptions{1}};
  runtime::StateStore states(*device);
  auto arena = std::make_shared<device::Buffer>(device->allocate(plan.arena_bytes + 4096));
  runtime::ExecutorContext context{*device, pool, states, {}, nullptr, arena};
  runtime::Executor first(plan, context), second(plan, context);
  EXPECT_EQ(device->stats().bytes_now, plan.arena_bytes + 4096 + states.bytes());
}

}  // namespace
}  // namespace hoist::testing
