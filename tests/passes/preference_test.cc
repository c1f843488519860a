// The loss of direct preference optimization: against PyTorch, against finite differences, at its extremes.
#include "nn/preference.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/files.h"
#include "ops/reduce.h"
#include "ops/tensors.h"
#include "passes/autodiff.h"
#include "plan/programs.h"
#include "support/json.h"

namespace hoist::testing {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Role;
using ir::Type;
using support::Json;

// Logits of both answers as states; outputs: loss [pairs], total [], grad.*.
Graph dpo_graph(DType dtype, int64_t pairs, int64_t seq, int64_t vocab, double beta) {
  Graph g;
  Builder b(g);
  const ir::Dims tokens{{"pairs", pairs}, {"seq", seq}};
  ir::Dims all = tokens;
  all.push_back({"vocab", vocab});
  auto log_probability = [&](const char* name) {
    auto logits = b.state(name, Type(dtype, all), Role::kParameter, true);
    auto targets = b.input(std::string(name) + "_targets", Type(DType::i32, tokens));
    return nn::sequence_log_probability(b, logits, targets, "seq", "vocab");
  };
  const Type per_pair(dtype, {{"pairs", pairs}});
  auto reference_chosen = b.input("reference_chosen", per_pair),
       reference_rejected = b.input("reference_rejected", per_pair);
  auto chosen = log_probability("chosen"), rejected = log_probability("rejected");
  const nn::PreferenceLoss loss =
      nn::dpo_loss(b, {chosen, rejected, reference_chosen, reference_rejected}, beta);
  b.output("chosen_log_probability", chosen);
  b.output("loss", loss.loss);
  b.output("total", ops::reduce_sum(b, loss.loss, {"pairs"}));
  return passes::autodiff(g, "total");
}

HostTensor filled(const Type& type, const Json& values) {
  HostTensor t(type);
  EXPECT_EQ(values.size(), static_cast<size_t>(type.elements()));
  for (size_t i = 0; i < values.size(); ++i) set(t, static_cast<int64_t>(i), values[i].get<double>());
  return t;
}

struct Fixture {
  Json json = Json::parse(
      io::read_file(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/optimizers/dpo.json", 1 << 20));
  int64_t size(const char* name) const { return json[name].get<int64_t>(); }
  Graph graph(DType dtype) const {
    return dpo_graph(dtype, size("pairs"), size("seq"), size("vocab"), json["beta"].get<double>());
  }
  void fill(const Graph& g, Bindings& inputs, Bindings& states) const {
    for (const ir::Input& i : g.inputs) inputs.emplace(i.name, filled(g.type(i.value), json[i.name.c_str()]));
    for (const ir::State& s : g.states) states.emplace(s.name, filled(g.type(s.value), json[s.name.c_str()]));
  }
};

void expect_near(const HostTensor& got, const Json& want) {
  double norm = 0;
  for (size_t i = 0; i < want.size(); ++i) norm = std::max(norm, std::abs(want[i].get<double>()));
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(get(got, static_cast<int64_t>(i)), want[i].get<double>(), 1e-5 * norm) << i;
}

TEST(Dpo, AgreesWithPyTorch) {
  const Fixture f;
  const Graph g = f.graph(DType::f32);
  Bindings inputs, states;
  f.fill(g, inputs, states);
  for (const kernels::KernelTable* table : {&kernels::ref_table(), &cpu()}) {
    const Ran ran = run_plan(build_plan(g, {}, *table).plan, inputs, states);
    for (const char* name : {"loss", "chosen_log_probability", "grad.chosen", "grad.rejected"})
      expect_near(ran.outputs.at(name), f.json[(std::string("want.") + name).c_str()]);
  }
}

TEST(Dpo, GradientEqualsFiniteDifferences) {
  const Fixture f;
  const Graph g = f.graph(DType::f64);
  Bindings inputs, states;
  f.fill(g, inputs, states);
  const plan::Plan plan = build_plan(g, {}, kernels::ref_table()).plan;
  const Ran at = run_plan(plan, inputs, states);
  auto total = [&](const std::string& name, int64_t i, double x) {
    Bindings moved = states;
    set(moved.at(name), i, x);
    return get(run_plan(plan, inputs, moved).outputs.at("total"), 0);
  };
  for (const std::string name : {"chosen", "rejected"})
    for (int64_t i = 0; i < states.at(name).type.elements(); i += 3) {
      const double x = get(states.at(name), i), h = 1e-5;
      const double slope = (total(name, i, x + h) - total(name, i, x - h)) / (2 * h);
      EXPECT_NEAR(get(at.outputs.at("grad." + name), i), slope, 1e-8) << name << " " << i;
    }
}

// Margins from -1000 to 1000: the loss goes from 1000 to 0 and is log 2 in the middle; slopes stay in [-1,
// 0].
TEST(Dpo, IsFiniteForEveryMargin) {
  Graph g;
  Builder b(g);
  const Type t(DType::f32, {{"pairs", 7}});
  auto policy = b.state("policy", t, Role::kParameter, true);
  auto zero = b.input("zero", t);
  const nn::PreferenceLoss loss = nn::dpo_loss(b, {policy, zero, zero, zero}, 1.0);
  b.output("loss", loss.loss);
  b.output("total", ops::reduce_sum(b, loss.loss, {"pairs"}));
  g = passes::autodiff(g, "total");
  const double margins[] = {-1000, -90, -2, 0, 2, 90, 1000};
  Bindings inputs, states;
  inputs.emplace("zero", HostTensor(t));
  HostTensor x(t);
  for (int64_t i = 0; i < 7; ++i) set(x, i, margins[i]);
  states.emplace("policy", x);
  const Ran ran = run_plan(build_plan(g).plan, inputs, states);
  for (int64_t i = 0; i < 7; ++i) {
    const double m = margins[i], want = m > 0 ? std::log1p(std::exp(-m)) : -m + std::log1p(std::exp(m));
    EXPECT_NEAR(get(ran.outputs.at("loss"), i), want, 1e-6 * std::max(1.0, want));
    EXPECT_NEAR(get(ran.outputs.at("grad.policy"), i), -1 / (1 + std::exp(m)), 1e-6);
  }
}

}  // namespace
}  // namespace hoist::testing
