// Rolling equal layers into repeat blocks, writing them out again, and plans as text.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "ops/elementwise.h"
#include "plan/programs.h"

namespace hoist::testing {
namespace {

using io::Family;
using plan::Plan;

// A rolled block keeps the scope of its first iteration only; all else must come back.
std::string text_without_scopes(Plan p) {
  for (plan::Instruction& i : p.instructions) i.scope = Symbol();
  return plan::print(p);
}

// The largest repeat block by instructions covered.
plan::Repeat largest(const Plan& p) {
  plan::Repeat best;
  for (const plan::Repeat& r : p.repeats)
    if (r.length * r.count > best.length * best.count) best = r;
  return best;
}

void expect_rolls_back(const Plan& flat) {
  Plan rolled = flat;
  plan::roll_repeats(rolled);
  EXPECT_EQ(rolled.launches(), flat.launches());
  int end = 0;
  for (const plan::Repeat& r : rolled.repeats) {  // disjoint and in order
    EXPECT_GE(r.first, end);
    EXPECT_GE(r.count, 2);
    end = r.first + r.length;
  }
  EXPECT_LE(end, static_cast<int>(rolled.instructions.size()));
  EXPECT_EQ(text_without_scopes(plan::unroll(rolled)), text_without_scopes(flat));
}

plan::CompileOptions flat_options() {
  plan::CompileOptions o;
  o.roll_repeats = false;
  return o;
}

TEST(RollRepeats, UnrollingIsTheInverseOnModels) {
  for (Family family : {Family::kGpt2, Family::kLlama, Family::kQwen3}) {
    const io::ModelConfig c = tiny_config(family, 7);
    models::TrainShape shape;
    shape.batch = 2;
    shape.seq = 6;
    const passes::TrainGraphs micro = tiny_training(c, shape, 2);
    for (const ir::Graph& g : {models::serve_graph(c, tiny_serve_shape()), models::train_graph(c, shape),
                               tiny_training(c, shape).step, micro.accumulate, micro.apply}) {
      SCOPED_TRACE(std::string(io::family_name(family)) + " " + g.name);
      expect_rolls_back(build_plan(g, flat_options()).plan);
    }
  }
}

// The first layers differ where the free list has not settled yet; qwen3's takes three.
TEST(RollRepeats, TwelveServingLayersBecomeOne) {
  const std::pair<Family, int> wanted[] = {
      {Family::kLlama, 10}, {Family::kQwen2, 10}, {Family::kGpt2, 10}, {Family::kQwen3, 9}};
  for (auto [family, count] : wanted) {
    const ir::Graph g = models::serve_graph(tiny_config(family, 12), tiny_serve_shape());
    const Plan p = build_plan(g).plan;
    EXPECT_GE(largest(p).count, count) << io::family_name(family);
    EXPECT_LT(static_cast<int64_t>(p.instructions.size()) * 2, p.launches()) << io::family_name(family);
  }
}

// Of a training step: what the memory plan lets through today. Printed, so that a change is seen.
TEST(RollRepeats, TrainingSteps) {
  models::TrainShape shape;
  shape.batch = 2;
  shape.seq = 6;
  for (Family family : {Family::kGpt2, Family::kLlama}) {
    const Plan p = build_plan(tiny_training(tiny_config(family, 12), shape).step).plan;
    const plan::Repeat r = largest(p);
    std::printf("%s, 12 layers, training step: %lld launches in %zu instructions; largest block %d x %d\n",
                std::string(io::family_name(family)).c_str(), static_cast<long long>(p.launches()),
                p.instructions.size(), r.count, r.length);
    EXPECT_LE(static_cast<int64_t>(p.instructions.size()), p.launches());
  }
}

// Plans made up of runs that repeat, almost repeat, and do not.
TEST(RollRepeats, UnrollingIsTheInverseOnRandomPlans) {
  const ir::OpDef* ops[] = {&ops::kExp, &ops::kTanh, &ops::kAdd};
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    const CounterRng rng(seed, 3);
    uint64_t at = 0;
    auto below = [&](uint64_t n) { return static_cast<int>(rng.below(at++, n)); };
    Plan flat;
    flat.name = "random";
    for (int i = 0; i < 200; ++i)
      flat.states.push_back({"s" + std::to_string(i), ir::Type(DType::f32, {{"n", 4}}), {}, {}});
    flat.inputs.push_back({"x", ir::Type(DType::f32, {{"n", 4}})});
    const int sections = 1 + below(4);
    int rolled_wanted = 0;
    for (int s = 0; s < sections; ++s) {
      std::vector<plan::Instruction> body;
      for (int k = 1 + below(5); k > 0; --k) {
        plan::Instruction i;
        i.op = ops[below(3)];
        auto tensor = [&] {
          plan::Tensor t;
          t.type = ir::Type(DType::f32, {{"n", 4}});
          t.ref.space = static_cast<plan::Space>(below(3));
          if (t.ref.space == plan::Space::kState) t.ref.index = 60 + below(40);
          if (t.ref.space == plan::Space::kArena) t.ref.offset = 64 * (100 + below(100));
          return t;
        };
        for (int o = i.op == &ops::kAdd ? 2 : 1; o > 0; --o) i.operands.push_back(tensor());
        i.results.push_back(tensor());
        if (below(4) == 0) {
          i.workspace_bytes = 64;
          i.workspace.offset = 64 * (300 + below(10));
        }
        body.push_back(i);
      }
      std::vector<plan::Ref*> refs;
      for (auto& i : body) {
        for (auto& t : i.operands) refs.push_back(&t.ref);
        for (auto& t : i.results) refs.push_back(&t.ref);
      }
      std::vector<int> steps;
      for (size_t r = 0; r < refs.size(); ++r) steps.push_back(below(3) - 1);
      const int count = 1 + below(8), odd = below(3) ? -1 : below(8);  // the iteration that steps otherwise
      rolled_wanted += count >= 3 && body.size() >= 2 && odd < 0;
      for (int i = 0; i < count; ++i) {
        flat.instructions.insert(flat.instructions.end(), body.begin(), body.end());
        for (size_t r = 0; r < refs.size(); ++r) {
          const int step = steps[r] + (i == odd && r == 0 ? 1 : 0);
          if (refs[r]->space == plan::Space::kState) refs[r]->index += step;
          if (refs[r]->space == plan::Space::kArena) refs[r]->offset += 64 * step;
        }
      }
    }
    expect_rolls_back(flat);
    Plan rolled = flat;
    plan::roll_repeats(rolled);
    if (rolled_wanted > 0) {
      EXPECT_FALSE(rolled.repeats.empty());
    }
  }
}

TEST(PlanText, IsStableAndSaysWhereThingsLive) {
  ir::Graph g;
  g.name = "small";
  ir::Builder b(g);
  const ir::Type row(DType::f32, {{"n", 5}});
  auto x = b.input("x", row), s = b.state("s", row, ir::Role::kBuffer);
  b.set_scope("top");
  auto y = ops::tanh(b, ops::add(b, x, s));
  b.output("y", y);
  b.update("s", ops::affine(b, s, 2, 1));
  const std::string text = plan::print(build_plan(g, {}, kernels::ref_table()).plan);
  EXPECT_EQ(text, "plan \"small\" graph=" + build_plan(g).plan.graph_hash +
                      " arena=64 states=20 launches=3\n"
                      "arena+0 = add.ref(input:x, state:s) @top : f32[n=5]\n"
                      "arena+0 = tanh.ref(arena+0) @top : f32[n=5]\n"
                      "state:s = affine.ref(state:s) {scale=2, shift=1} @top : f32[n=5]\n"
                      "output \"y\" arena+0 : f32[n=5]\n");
  const ir::Graph model = models::serve_graph(tiny_config(Family::kLlama, 12), tiny_serve_shape());
  const std::string once = plan::print(build_plan(model).plan);
  EXPECT_EQ(plan::print(build_plan(model).plan), once);
  EXPECT_NE(once.find("\nrepeat 1"), std::string::npos);
}

}  // namespace
}  // namespace hoist::testing
