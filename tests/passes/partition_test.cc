// Partition: the program of every rank together does what the whole program does on one.
#include "passes/partition.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/softmax.h"
#include "ops/tensors.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

using io::Family;
using ir::Builder;
using ir::Graph;
using ir::Type;
using passes::Strategy;

struct Axis {
  const char* name;
  const char* role;
};

Strategy strategy_of(std::vector<passes::MeshDim> mesh, std::vector<passes::ShardRule> rules) {
  Strategy s;
  s.mesh = std::move(mesh);
  s.rules = std::move(rules);
  return s;
}

// Sums in another order: relative to the largest element of each tensor.
constexpr double kTolerance = 1e-5;

void expect_ranks_agree(const Graph& graph, const Strategy& strategy, uint64_t seed) {
  SCOPED_TRACE(passes::print(strategy));
  const Bindings inputs = draw_inputs(graph, seed), states = draw_states(graph, seed + 1);
  const Ran want = run_plan(build_plan(graph).plan, inputs, states);
  const Ran got = run_ranks(graph, strategy, inputs, states);
  expect_equal_values(got.outputs, want.outputs, &kTolerance);
  expect_equal_values(got.states, want.states, &kTolerance);
}

Graph training(Family family, int64_t batch = 4, int64_t layers = 2, DType dtype = DType::f32) {
  models::TrainShape shape;
  shape.batch = batch;
  shape.seq = 6;
  shape.dtype = dtype;
  return tiny_training(tiny_config(family, layers), shape).step;
}

TEST(Partition, EachAxisOfATrainingStepSplits) {
  const std::pair<const char*, int> axes[] = {{"batch", 2},    {"batch", 4}, {"vocab", 2}, {"vocab", 3},
                                              {"kv_heads", 2}, {"ffn", 2},   {"ffn", 3},   {"model", 2},
                                              {"head_dim", 2}, {"seq", 2},   {"seq", 3},   {"group", 2}};
  for (Family family : {Family::kGpt2, Family::kLlama, Family::kQwen2, Family::kQwen3}) {
    const Graph graph = training(family);
    for (auto [axis, size] : axes) {
      if (family == Family::kGpt2 && std::string_view(axis) == "group") continue;  // of size 1
      SCOPED_TRACE(std::string(io::family_name(family)) + " " + axis);
      expect_ranks_agree(graph, strategy_of({{"m", size}}, {{axis, "m", "", "any"}}), 11);
    }
  }
}

TEST(Partition, DataAndTensorParallel) {
  for (Family family : {Family::kGpt2, Family::kLlama})
    for (auto [data, tensor] : {std::pair{2, 1}, {1, 2}, {2, 2}, {4, 2}}) {
      SCOPED_TRACE(std::string(io::family_name(family)));
      expect_ranks_agree(training(family), passes::data_and_tensor_parallel(data, tensor), 21);
    }
}

TEST(Partition, RandomStrategies) {
  const char* axes[] = {"batch",    "seq", "vocab", "kv_heads",  "group",
                        "head_dim", "ffn", "model", "positions", "keys"};
  const char* scopes[] = {"", "", "", "attn", "mlp", "layers.0", "embed", "lm_head", "optimizer"};
  const char* roles[] = {"any", "any", "parameter", "activation"};
  const Graph graphs[] = {training(Family::kGpt2), training(Family::kLlama)};
  CounterRng rng(31, 0);
  uint64_t draw = 0;
  auto pick = [&](uint64_t n) { return rng.below(draw++, n); };
  for (int trial = 0; trial < 24; ++trial) {
    const bool two = pick(2) == 0;
    Strategy s;
    s.mesh.push_back({"x", 2});
    if (two) s.mesh.push_back({"y", 2});
    const uint64_t rules = 1 + pick(6);
    for (uint64_t i = 0; i < rules; ++i)
      s.rules.push_back({axes[pick(std::size(axes))], two && pick(2) ? "y" : "x",
                         scopes[pick(std::size(scopes))], roles[pick(std::size(roles))]});
    const Graph& graph = graphs[pick(2)];
    // A rule may ask for an axis that does not divide (group of gpt2): then it must say so, and is drawn
    // again.
    try {
      build_plan(graph);
      for (int r = 0; r < s.ranks(); ++r) passes::partition(graph, s, r);
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("does not divide"), std::string::npos) << e.what();
      continue;
    }
    expect_ranks_agree(graph, s, 40 + static_cast<uint64_t>(trial));
  }
}

TEST(Partition, AccumulateAndApplyShareShardedStates) {
  models::TrainShape shape;
  shape.batch = 2;
  shape.seq = 6;
  const passes::TrainGraphs g = tiny_training(tiny_config(Family::kLlama), shape, 2);
  const Strategy s = passes::data_and_tensor_parallel(2, 2);
  expect_ranks_agree(g.accumulate, s, 51);
  expect_ranks_agree(g.apply, s, 52);
}

TEST(Partition, ServingSplitsByHeadsAndVocabulary) {
  expect_ranks_agree(models::serve_graph(tiny_config(Family::kLlama), tiny_serve_shape()),
                     passes::data_and_tensor_parallel(1, 2), 61);
}

// What splitting rounds otherwise is no worse than what 16 bits round anyway: both programs are about as far
// from the one in 32 bits.
TEST(Partition, SixteenBitParametersKeepTheirMasters) {
  const Graph graph = training(Family::kLlama, 4, 2, DType::bf16), wide = training(Family::kLlama, 4, 2);
  const Bindings inputs = draw_inputs(graph, 71), states = draw_states(graph, 72);
  Bindings wide_states;
  for (const ir::State& s : wide.states)
    wide_states.emplace(s.name, convert(states.at(s.name), wide.type(s.value).dtype));
  const Ran truth = run_plan(build_plan(wide).plan, inputs, wide_states);
  const Ran one = run_plan(build_plan(graph).plan, inputs, states);
  const Ran many = run_ranks(graph, passes::data_and_tensor_parallel(2, 2), inputs, states);
  auto error = [&](const Ran& ran) {  // root of the sum of squares over all first moments
    double sum = 0;
    for (const auto& [name, t] : truth.states)
      if (name.starts_with("adam_m."))
        for (int64_t i = 0; i < t.type.elements(); ++i)
          sum += std::pow(get(ran.states.at(name), i) - get(t, i), 2);
    return std::sqrt(sum);
  };
  EXPECT_LT(error(many), 1.5 * error(one));
  for (const auto& [name, t] : many.states)
    if (auto master = many.states.find(passes::master_name(name)); master != many.states.end()) {
      EXPECT_TRUE(convert(master->second, DType::bf16).data == t.data)
          << name << " is not its master, rounded";
    }
}

// The same program twice gives the same bits, however the threads of the ranks interleave.
TEST(Partition, RanksAreDeterministic) {
  const Graph graph = training(Family::kLlama);
  const Strategy s = passes::data_and_tensor_parallel(2, 2);
  const Bindings inputs = draw_inputs(graph, 81), states = draw_states(graph, 82);
  const Ran first = run_ranks(graph, s, inputs, states), again = run_ranks(graph, s, inputs, states);
  expect_equal_values(again.outputs, first.outputs);
  expect_equal_values(again.states, first.states);
}

TEST(Partition, OneRankIsTheWholeProgram) {
  const Graph graph = models::train_graph(tiny_config(Family::kGpt2), {2, 6});
  Graph local = passes::partition(graph, {}, 0).graph;
  EXPECT_EQ(local.stage, ir::Stage::kLocal);
  local.stage = ir::Stage::kGlobal;
  EXPECT_EQ(ir::print(local), ir::print(graph));
}

TEST(Partition, RefusesAxesThatDoNotDivide) {
  const Graph graph = training(Family::kLlama);
  EXPECT_EQ(error_of([&] {
              passes::partition(graph, strategy_of({{"t", 5}}, {{"vocab", "t", "", "any"}}), 0);
            }),
            "partition: axis vocab of 'model.embed_tokens.weight' has size 24, which does not divide by the "
            "5 ranks of "
            "mesh dimension t");
  EXPECT_EQ(
      error_of([&] {
        passes::partition(graph, strategy_of({{"d", 8}}, {{"batch", "d", "", "any"}}), 0);
      }),
      "partition: axis batch of 'ids' has size 4, which does not divide by the 8 ranks of mesh dimension d");
}

// A live axis has no length when the program is cut.
TEST(Partition, RefusesLiveAxes) {
  const Graph graph = models::serve_graph(tiny_config(Family::kLlama), tiny_serve_shape());
  EXPECT_EQ(error_of([&] {
              passes::partition(graph, strategy_of({{"t", 2}}, {{"tokens", "t", "", "any"}}), 0);
            }),
            "partition: axis tokens of 'ids' is live: its length is known in each run only, so it can not be "
            "split");
}

TEST(Partition, BoxesTileTheWhole) {
  const Strategy s = strategy_of({{"a", 2}, {"b", 3}}, {});
  const Type whole(DType::f32, {{"x", 6}, {"y", 4}, {"z", 5}});
  passes::Sharding sharding;
  for (int m : {1, 0, -1}) sharding.push_back(static_cast<int8_t>(m));
  std::vector<int> seen(6 * 4 * 5, 0);
  for (int r = 0; r < s.ranks(); ++r) {
    const passes::Box box = passes::shard_box(whole, sharding, s, r);
    for (int64_t x = 0; x < box.length[0]; ++x)
      for (int64_t y = 0; y < box.length[1]; ++y)
        for (int64_t z = 0; z < box.length[2]; ++z)
          ++seen[static_cast<size_t>(((box.offset[0] + x) * 4 + box.offset[1] + y) * 5 + box.offset[2] + z)];
  }
  EXPECT_EQ(seen, std::vector<int>(6 * 4 * 5, 1));
}

// The merge of log-sum-exp has no collective of its own: partial values are gathered and folded in rank
// order.
TEST(Partition, SoftmaxSplitsAlongItsAxis) {
  Graph graph;
  Builder b(graph);
  auto x = b.input("x", Type(DType::f32, {{"rows", 3}, {"cols", 12}}));
  b.output("y", ops::softmax(b, x, "cols"));
  for (int size : {2, 3, 4, 6})
    expect_ranks_agree(graph, strategy_of({{"t", size}}, {{"cols", "t", "", "any"}}), 91);
}

}  // namespace
}  // namespace hoist::testing
