// The optimizer as part of the graph: micro-batches, clipping, steps that are not applied.
#include "passes/add_optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "ops/tensors.h"
#include "passes/autodiff.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Role;
using ir::Type;

constexpr int64_t kRows = 8, kSeq = 6;

// Rows [from, from + count) of the step's batch.
Bindings rows_of(const Bindings& inputs, int64_t from, int64_t count) {
  Bindings out = inputs;
  for (const char* name : {"ids", "targets"}) out.at(name) = slice(inputs.at(name), 0, from, from + count);
  return out;
}

// A step of `micro` micro-batches of kRows / micro rows; states as they are afterwards, accumulators apart.
Ran step_of(const io::ModelConfig& c, int micro, const Bindings& inputs, const Bindings& states,
            Bindings* accumulators) {
  const models::TrainShape shape{kRows / micro, kSeq};
  if (micro == 1) return run_plan(build_plan(tiny_training(c, shape).step).plan, inputs, states);
  const passes::TrainGraphs g = tiny_training(c, shape, micro);
  const plan::Plan accumulate = build_plan(g.accumulate).plan, apply = build_plan(g.apply).plan;
  Bindings now = states;
  for (const ir::State& s : g.accumulate.states)
    if (s.role == Role::kAccumulator) now.emplace(s.name, HostTensor(g.accumulate.type(s.value)));
  for (int m = 0; m < micro; ++m)
    for (auto& [name, t] : run_plan(accumulate, rows_of(inputs, m * shape.batch, shape.batch), now).states)
      now.at(name) = t;
  Ran out = run_plan(apply, inputs, now);
  for (auto it = out.states.begin(); it != out.states.end();)
    if (it->first.starts_with("acc.")) {
      if (accumulators) accumulators->emplace(it->first, it->second);
      it = out.states.erase(it);
    } else {
      ++it;
    }
  return out;
}

Bindings batch_of(const Graph& step, uint64_t seed) {
  Bindings inputs = draw_inputs(step, seed);
  // Rows with all, some, one and none of their targets.
  auto* targets = inputs.at("targets").as<int32_t>();
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t i = 0; i < kSeq; ++i) {
      int32_t& t = targets[r * kSeq + i];
      t = std::abs(t) % 24;
      if ((r == 1 && i > 0) || r == 2 || (r == 5 && i % 2)) t = -1;
    }
  return inputs;
}

TEST(Optimizer, MicroBatchesAddUpToTheBatch) {
  for (io::Family family : {io::Family::kGpt2, io::Family::kLlama}) {
    SCOPED_TRACE(std::string(io::family_name(family)));
    const io::ModelConfig c = tiny_config(family);
    const Graph whole = tiny_training(c, {kRows, kSeq}).step;
    const Bindings inputs = batch_of(whole, 5), states = draw_states(whole, 6);
    const Ran want = step_of(c, 1, inputs, states, nullptr);
    EXPECT_EQ(get(want.outputs.at("tokens"), 0), 8 * 6 - 5 - 6 - 3);
    EXPECT_EQ(get(want.outputs.at("ok"), 0), 1);
    for (int micro : {2, 4, 8}) {
      SCOPED_TRACE(micro);
      Bindings accumulators;
      const Ran got = step_of(c, micro, inputs, states, &accumulators);
      const double tolerance = 1e-6,
                   moments = 1e-5;  // sums of f32 in another order; the square doubles what is left
      expect_equal_values(got.outputs, want.outputs, &tolerance);
      for (const auto& [name, t] : want.states) {
        const Tolerance of{name.starts_with("adam_") ? moments : tolerance};
        EXPECT_EQ(difference(got.states.at(name), t, &of), "") << name;
      }
      EXPECT_FALSE(accumulators.empty());
      for (const auto& [name, t] : accumulators)
        for (int64_t i = 0; i < t.type.elements(); ++i) ASSERT_EQ(get(t, i), 0) << name;
    }
  }
}

TEST(Optimizer, ABatchWithoutTargetsChangesNothingButMoments) {
  const io::ModelConfig c = tiny_config(io::Family::kLlama);
  const Graph graph = tiny_training(c, {2, 4}).step;
  Bindings inputs = draw_inputs(graph, 1);
  for (int64_t i = 0; i < 8; ++i) inputs.at("targets").as<int32_t>()[i] = -1;
  const Ran ran = run_plan(build_plan(graph).plan, inputs, draw_states(graph, 2));
  EXPECT_EQ(get(ran.outputs.at("loss"), 0), 0);
  EXPECT_EQ(get(ran.outputs.at("tokens"), 0), 0);
  EXPECT_EQ(get(ran.outputs.at("grad_norm"), 0), 0);
  EXPECT_EQ(get(ran.outputs.at("ok"), 0), 1);
  for (const auto& [name, t] : ran.states)
    for (int64_t i = 0; i < t.type.elements(); ++i) ASSERT_TRUE(std::isfinite(get(t, i))) << name;
}

TEST(Optimizer, AGradientThatIsNotFiniteChangesNoBit) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (float bad :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 3e38f}) {
      const io::ModelConfig c = tiny_config(io::Family::kLlama);
      const models::TrainShape shape{2, 4, dtype};
      const Graph graph = tiny_training(c, shape).step;
      const Bindings inputs = draw_inputs(graph, 1);
      Bindings states = draw_states(graph, 2);
      HostTensor& w = states.at("model.layers.1.mlp.down_proj.weight");
      for (int64_t i = 0; i < w.type.elements(); i += 5) set(w, i, bad);
      const Ran ran = run_plan(build_plan(graph).plan, inputs, states);
      EXPECT_EQ(get(ran.outputs.at("ok"), 0), 0);
      for (const auto& [name, t] : ran.states) EXPECT_TRUE(t.data == states.at(name).data) << name;

      // With micro-batches: parameters and moments stay, and the accumulators are clean for the next step.
      const passes::TrainGraphs g = tiny_training(c, shape, 2);
      Bindings accumulated = draw_states(g.accumulate, 2);
      for (const auto& [name, t] : states) accumulated.insert_or_assign(name, t);
      for (auto& [name, t] : run_plan(build_plan(g.accumulate).plan, inputs, accumulated).states)
        accumulated.at(name) = t;
      const Ran applied = run_plan(build_plan(g.apply).plan, inputs, accumulated);
      EXPECT_EQ(get(applied.outputs.at("ok"), 0), 0);
      for (const auto& [name, t] : applied.states) {
        if (!name.starts_with("acc.")) {
          EXPECT_TRUE(t.data == states.at(name).data) << name;
          continue;
        }
        for (int64_t i = 0; i < t.type.elements(); ++i) ASSERT_EQ(get(t, i), 0) << name;
      }
    }
}

// One parameter whose gradient is a constant, so that the step can be worked out here.
struct Small {
  Graph graph;
  Bindings inputs, states;
  Small(const passes::OptimizerSpec& spec, double tokens) {
    const Type row(DType::f32, {{"n", 3}}), matrix(DType::f32, {{"m", 2}, {"n", 3}}), scalar(DType::f32, {});
    Builder b(graph);
    auto c = b.input("c", row);
    auto v = b.state("bias", row, Role::kParameter, true),
         w = b.state("weight", matrix, Role::kParameter, true);
    auto sum = ops::reduce_sum(b, ops::mul(b, v, c), {"n"});
    b.output("loss_sum", ops::add(b, sum, ops::reduce_sum(b, ops::mul(b, w, c), {"m", "n"})));
    b.output("weight_sum", b.input("tokens", scalar));
    graph = passes::add_optimizer(passes::autodiff(graph, "loss_sum"), spec);
    inputs = draw_inputs(graph, 1);
    states = draw_states(graph, 2);
    set(inputs.at("tokens"), 0, tokens);
  }
};

TEST(Optimizer, OneStepByHand) {
  for (double clip : {0.0, 0.05, 100.0})
    for (double tokens : {1.0, 7.0}) {
      SCOPED_TRACE(std::to_string(clip) + ", " + std::to_string(tokens));
      passes::OptimizerSpec spec;
      spec.clip = clip;
      spec.beta1 = 0.8;
      spec.beta2 = 0.9;
      spec.eps = 1e-3;
      spec.groups = {{"none", 0, 9, 9}, {"", 2, 0.1, 1.0}, {"", 0, 0.0, 0.5}};
      const Small s(spec, tokens);
      const Ran ran = run_plan(build_plan(s.graph).plan, s.inputs, s.states);
      const double lr = get(s.inputs.at("lr"), 0), step = get(s.inputs.at("step"), 0);
      double norm2 = 0;
      for (int i = 0; i < 3; ++i)
        norm2 += 3 * std::pow(get(s.inputs.at("c"), i) / tokens, 2);  // in bias, in two rows
      const double norm = std::sqrt(norm2), scale = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
      EXPECT_NEAR(get(ran.outputs.at("grad_norm"), 0), norm, 1e-5 * norm);
      for (const char* name : {"bias", "weight"}) {
        const bool matrix = name[0] == 'w';
        const double decay = matrix ? 0.1 : 0, rate = matrix ? lr : lr * 0.5;
        for (int64_t i = 0; i < (matrix ? 6 : 3); ++i) {
          const double g = get(s.inputs.at("c"), i % 3) / tokens * scale, p = get(s.states.at(name), i);
          const double m = 0.8 * get(s.states.at(passes::moment1_name(name)), i) + 0.2 * g;
          const double v = 0.9 * get(s.states.at(passes::moment2_name(name)), i) + 0.1 * g * g;
          const double m_hat = m / (1 - std::pow(0.8, step)), v_hat = v / (1 - std::pow(0.9, step));
          const double want = p - rate * (m_hat / (std::sqrt(v_hat) + 1e-3) + decay * p);
          EXPECT_NEAR(get(ran.states.at(name), i), want, 2e-6) << name;
          EXPECT_NEAR(get(ran.states.at(passes::moment1_name(name)), i), m, 1e-6);
          EXPECT_NEAR(get(ran.states.at(passes::moment2_name(name)), i), v, 1e-6);
        }
      }
    }
}

TEST(Optimizer, SaysWhatItMisses) {
  Graph empty;
  Builder b(empty);
  auto x = b.input("x", Type(DType::f32, {}));
  b.output("loss_sum", x);
  b.output("weight_sum", x);
  EXPECT_EQ(error_of([&] { passes::add_optimizer(empty, {}); }), "optimizer: no state wants a gradient");
  Graph bare;
  Builder c(bare);
  c.output("loss_sum", c.state("w", Type(DType::f32, {}), Role::kParameter, true));
  EXPECT_EQ(error_of([&] { passes::add_optimizer(bare, {}); }),
            "optimizer: the graph has no output 'grad.w'");
  EXPECT_EQ(error_of([&] { passes::add_optimizer(passes::autodiff(bare, "loss_sum"), {}); }),
            "optimizer: the graph has no output 'weight_sum'");
  passes::OptimizerSpec narrow;
  narrow.groups = {{"other", 0, 0, 1}};
  EXPECT_EQ(error_of([&] { Small(narrow, 1); }), "optimizer: no parameter group matches 'bias'");
}

}  // namespace
}  // namespace hoist::testing
