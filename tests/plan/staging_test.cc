// A plan under a memory budget computes the same bits as one without, in the memory it was given, moving the
// bytes it foretold.
#include "plan/staging.h"

#include <gtest/gtest.h>

#include "plan/programs.h"

namespace hoist::testing {
namespace {

using io::Family;
using ir::Graph;

struct Program {
  std::string name;
  Graph graph;
};

std::vector<Program> training_programs() {
  std::vector<Program> out;
  for (Family family : {Family::kGpt2, Family::kLlama}) {
    io::ModelConfig c = tiny_config(family, 5);
    c.vocab = 300;
    c.hidden = 64;
    c.intermediate = 96;
    c.head_dim = 16;
    models::TrainShape shape;
    shape.batch = 2;
    shape.seq = 12;
    const std::string name(io::family_name(family));
    out.push_back({name + " step", tiny_training(c, shape).step});
    if (family == Family::kGpt2) continue;
    passes::TrainGraphs g = tiny_training(c, shape, 2);
    out.push_back({name + " accumulate", g.accumulate});
    out.push_back({name + " apply", g.apply});
    shape.dtype = DType::bf16;
    out.push_back({name + " bf16 step", tiny_training(c, shape).step});
  }
  return out;
}

int64_t whole_bytes(const plan::Plan& plan) { return plan.arena_bytes + plan.state_bytes(); }

int64_t page_up(int64_t n) { return (n + 4095) / 4096 * 4096; }

TEST(Staging, ChangesNoBitAndKeepsToTheBudget) {
  int staged = 0;
  for (const Program& p : training_programs()) {
    const Bindings inputs = draw_inputs(p.graph, 7), states = draw_states(p.graph, 8);
    const plan::Plan free = build_plan(p.graph).plan;
    RunOptions runs;
    runs.runs = 3;
    const Ran want = run_plan(free, inputs, states, runs);
    for (const double share : {1.3, 0.7, 0.45, 0.3}) {
      SCOPED_TRACE(p.name + " in " + std::to_string(share));
      plan::CompileOptions options;
      options.memory = static_cast<int64_t>(share * static_cast<double>(whole_bytes(free)));
      options.least_moved = 2048;
      plan::Plan plan;
      const std::string refused = error_of([&] { plan = build_plan(p.graph, options).plan; });
      if (refused != "no error") {
        EXPECT_NE(refused.find("bytes"), std::string::npos) << refused;
        continue;
      }
      ++staged;
      ASSERT_TRUE(plan.staging);
      EXPECT_LE(plan.arena_bytes, options.memory);
      const Ran got = run_plan(plan, inputs, states, runs);
      expect_equal_values(got.outputs, want.outputs);
      expect_equal_values(got.states, want.states);
      EXPECT_GE(got.stats.launches, want.stats.launches);  // large ones are cut
      // What is carried is loaded before the first run and stays after the last.
      int64_t carried = 0;
      for (const auto& c : plan.staging->carried)
        carried += page_up(plan.staging->pieces[static_cast<size_t>(c.piece)].bytes);
      EXPECT_EQ(got.disk_read, 3 * plan.staging->bytes_read + carried);
      EXPECT_EQ(got.disk_written, 3 * plan.staging->bytes_written);
      EXPECT_GE(static_cast<double>(plan.staging->bytes_read + plan.staging->bytes_written) + 1e-6,
                plan.staging->bound);
    }
  }
  EXPECT_GE(staged, 10);
}

TEST(Staging, SaysWhatDoesNotFit) {
  const Graph graph = training_programs()[1].graph;
  plan::CompileOptions options;
  options.least_moved = 2048;
  options.memory = 40'000;
  const std::string error = error_of([&] { build_plan(graph, options); });
  EXPECT_NE(error.find("40000 bytes are too few"), std::string::npos) << error;
  // The least that works is found by asking; one page less does not.
  int64_t low = 40'000, high = whole_bytes(build_plan(graph).plan) * 2;
  while (high - low > 4096) {
    options.memory = (low + high) / 2;
    (error_of([&] { build_plan(graph, options); }) == "no error" ? high : low) = options.memory;
  }
  options.memory = high;
  const Bindings inputs = draw_inputs(graph, 7), states = draw_states(graph, 8);
  const Ran want = run_plan(build_plan(graph).plan, inputs, states),
            got = run_plan(build_plan(graph, options).plan, inputs, states);
  expect_equal_values(got.outputs, want.outputs);
  expect_equal_values(got.states, want.states);
  std::printf("least memory %lld bytes of %lld\n", static_cast<long long>(high),
              static_cast<long long>(whole_bytes(build_plan(graph).plan)));
}

}  // namespace
}  // namespace hoist::testing
