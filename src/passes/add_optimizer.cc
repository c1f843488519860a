#include "passes/add_optimizer.h"

#include "base/error.h"
#include "ir/rewriter.h"
#include "ops/adamw.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
#include "passes/autodiff.h"

namespace hoist::passes {

using ir::Builder;
using ir::Graph;
using ir::kNoValue;
using ir::Role;
using ir::Type;
using ir::ValueId;

namespace {

constexpr const char* kLossSum = "loss_sum";
constexpr const char* kWeightSum = "weight_sum";

std::string accumulator_name(std::string_view state) { return "acc." + std::string(state); }

struct Target {
  int state;  // index into the graph's states
  ValueId param;
  ValueId grad;
};

const OptimizerSpec::Group& group_of(const OptimizerSpec& spec, const ir::State& state, int rank) {
  for (const auto& g : spec.groups)
    if (rank >= g.min_rank && state.name.find(g.pattern) != std::string::npos) return g;
  throw_invalid("optimizer: no parameter group matches '" + state.name + "'");
}

void apply(Builder& b, const std::vector<Target>& targets, ValueId loss_sum, ValueId weight_sum,
           const OptimizerSpec& spec) {
  b.set_scope(Symbol("optimizer"));
  const Type scalar(DType::f32, {});
  ValueId lr = b.input("lr", scalar), step = b.input("step", scalar);
  ValueId norm2 = kNoValue;
  for (const Target& t : targets) {
    ValueId s = ops::sum_squares(b, t.grad);
    norm2 = norm2 == kNoValue ? s : ops::add(b, norm2, s);
  }
  ValueId norm_of_sum = ops::sqrt(b, norm2);
  ValueId per_token = ops::reciprocal(b, ops::maximum(b, weight_sum, ops::full(b, 1.0, DType::f32)));
  ValueId norm = ops::mul(b, norm_of_sum, per_token);
  ValueId ok = ops::is_finite(b, norm);
  ValueId scale = per_token;
  if (spec.clip > 0) {
    // min(1, clip / (norm + 1e-6)), as the common frameworks define clipping.
    ValueId ratio = ops::div(b, ops::full(b, spec.clip, DType::f32), ops::affine(b, norm, 1, 1e-6));
    scale = ops::mul(b, scale, ops::minimum(b, ratio, ops::full(b, 1.0, DType::f32)));
  }
  for (const Target& t : targets) {
    const ir::State state = b.graph().states[static_cast<size_t>(t.state)];
    const Type type = b.type(t.param);
    const auto& group = group_of(spec, state, type.rank());
    const bool narrow = type.dtype != DType::f32;
    const Type f32 = type.with_dtype(DType::f32);
    b.set_scope(Symbol("optimizer." + state.name));
    ValueId m = b.state(moment1_name(state.name), f32, Role::kOptimizer);
    ValueId v = b.state(moment2_name(state.name), f32, Role::kOptimizer);
    ValueId master = narrow ? b.state(master_name(state.name), f32, Role::kOptimizer) : kNoValue;
    ValueId rate = group.lr_scale == 1 ? lr : ops::affine(b, lr, group.lr_scale);
    ops::AdamwAttrs attrs;
    attrs.beta1 = spec.beta1;
    attrs.beta2 = spec.beta2;
    attrs.eps = spec.eps;
    attrs.decay = group.decay;
    ops::AdamwResults now = ops::adamw(b, {t.param, t.grad, m, v, rate, step, scale, ok, master}, attrs);
    b.update(t.state, now.p);
    b.update(moment1_name(state.name), now.m);
    b.update(moment2_name(state.name), now.v);
    if (narrow) b.update(master_name(state.name), now.master);
  }
  b.set_scope(Symbol("optimizer"));
  b.output("loss", ops::mul(b, loss_sum, per_token));
  b.output("grad_norm", norm);
  b.output("ok", ok);
  b.output("tokens", weight_sum);
}

ValueId output_value(const Graph& g, std::string_view name) {
  int i = g.find_output(name);
  if (i < 0) throw_invalid("optimizer: the graph has no output '" + std::string(name) + "'");
  return g.outputs[static_cast<size_t>(i)].value;
}

// The graph without outputs that the optimizer consumes: gradients, loss_sum, weight_sum.
void drop_consumed_outputs(Graph& g) {
  std::vector<ir::Output> kept;
  for (ir::Output& o : g.outputs)
    if (!o.name.starts_with("grad.") && o.name != kLossSum && o.name != kWeightSum)
      kept.push_back(std::move(o));
  g.outputs = std::move(kept);
}

std::vector<Target> targets_of(const Graph& g) {
  std::vector<Target> targets;
  for (size_t i = 0; i < g.states.size(); ++i)
    if (g.states[i].wants_grad)
      targets.push_back(
          {static_cast<int>(i), g.states[i].value, output_value(g, grad_name(g.states[i].name))});
  if (targets.empty()) throw_invalid("optimizer: no state wants a gradient");
  return targets;
}

}  // namespace

std::string moment1_name(std::string_view state) { return "adam_m." + std::string(state); }
std::string moment2_name(std::string_view state) { return "adam_v." + std::string(state); }
std::string master_name(std::string_view state) { return "master." + std::string(state); }

Graph add_optimizer(const Graph& graph, const OptimizerSpec& spec) {
  Graph g = graph;
  std::vector<Target> targets = targets_of(g);
  ValueId loss_sum = output_value(g, kLossSum), weight_sum = output_value(g, kWeightSum);
  drop_consumed_outputs(g);
  Builder b(g);
  apply(b, targets, loss_sum, weight_sum, spec);
  return g;
}

Graph accumulate_gradients(const Graph& graph) {
  Graph g = graph;
  g.name += "-accumulate";
  std::vector<Target> targets = targets_of(g);
  ValueId loss_sum = output_value(g, kLossSum), weight_sum = output_value(g, kWeightSum);
  drop_consumed_outputs(g);
  Builder b(g);
  b.set_scope(Symbol("accumulate"));
  auto add_into = [&](const std::string& name, ValueId x) {
    ValueId acc = b.state(name, b.type(x), Role::kAccumulator);
    b.update(name, ops::add(b, acc, x));
  };
  for (const Target& t : targets)
    add_into(accumulator_name(g.states[static_cast<size_t>(t.state)].name), t.grad);
  add_into(accumulator_name(kLossSum), loss_sum);
  add_into(accumulator_name(kWeightSum), weight_sum);
  return g;
}

Graph apply_graph(const Graph& accumulated, const OptimizerSpec& spec) {
  Graph g;
  g.name = accumulated.name + "-apply";
  Builder b(g);
  std::vector<Target> targets;
  std::vector<ValueId> accumulators;
  auto import = [&](const std::string& name) {
    int i = accumulated.find_state(name);
    HOIST_CHECK(i >= 0, "no state " + name);
    const ir::State& s = accumulated.states[static_cast<size_t>(i)];
    return b.state(s.name, accumulated.type(s.value), s.role, s.wants_grad, s.tier);
  };
  for (const ir::State& s : accumulated.states)
    if (s.wants_grad) {
      ValueId param = import(s.name);
      int index = static_cast<int>(g.states.size()) - 1;
      ValueId acc = import(accumulator_name(s.name));
      targets.push_back({index, param, acc});
    }
  ValueId loss_sum = import(accumulator_name(kLossSum)), weight_sum = import(accumulator_name(kWeightSum));
  apply(b, targets, loss_sum, weight_sum, spec);
  b.set_scope(Symbol("clear"));
  for (const ir::State& s : std::vector<ir::State>(g.states))
    if (s.role == Role::kAccumulator) b.update(s.name, ops::zeros_like(b, s.value));
  return g;
}

}  // namespace hoist::passes
