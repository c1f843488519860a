#include "passes/add_optimizer.h"

#include <cmath>
#include <utility>

#include "base/error.h"
#include "ir/rewriter.h"
#include "ops/adamw.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
#include "passes/autodiff.h"
#include "passes/optimizer_steps.h"

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

const OptimizerSpec::Group& group_of(const OptimizerSpec& spec, const ir::State& state, int rank) {
  for (const auto& g : spec.groups)
    if (rank >= g.min_rank && state.name.find(g.pattern) != std::string::npos) return g;
  throw_invalid("optimizer: no parameter group matches '" + state.name + "'");
}

// Twice after `growth` steps in a row that were applied, half after one that was not; between 1 and 2^40.
void update_loss_scale(Builder& b, ValueId scale, ValueId ok, int64_t growth) {
  ValueId good = b.state(kGoodStepsState, b.type(scale), Role::kOptimizer);
  ValueId one = ops::full(b, 1.0, DType::f32), zero = ops::full(b, 0.0, DType::f32);
  ValueId count = ops::mul(b, ops::affine(b, good, 1, 1), ok);
  ValueId grow = ops::greater_equal(b, count, ops::full(b, static_cast<double>(growth), DType::f32));
  ValueId larger = ops::minimum(b, ops::affine(b, scale, 2), ops::full(b, std::ldexp(1.0, 40), DType::f32));
  ValueId smaller = ops::maximum(b, ops::affine(b, scale, 0.5), one);
  b.update(kLossScaleState, ops::select(b, ok, ops::select(b, grow, larger, scale), smaller));
  b.update(kGoodStepsState, ops::select(b, grow, zero, count));
}

// `loss_scale`: what the loss was multiplied by, or kNoValue.
void apply(Builder& b, const std::vector<Target>& targets, ValueId loss_sum, ValueId weight_sum,
           ValueId loss_scale, const OptimizerSpec& spec) {
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
  ValueId scale = per_token;
  if (loss_scale != kNoValue) scale = ops::div(b, scale, loss_scale);
  ValueId norm = ops::mul(b, norm_of_sum, scale);
  ValueId ok = ops::is_finite(b, norm);
  if (spec.clip > 0) {
    // min(1, clip / (norm + 1e-6)), as the common frameworks define clipping.
    ValueId ratio = ops::div(b, ops::full(b, spec.clip, DType::f32), ops::affine(b, norm, 1, 1e-6));
    scale = ops::mul(b, scale, ops::minimum(b, ratio, ops::full(b, 1.0, DType::f32)));
  }
  const StepContext context{b, spec, lr, step, scale, ok};
  for (const Target& t : targets) {
    const ir::State state = b.graph().states[static_cast<size_t>(t.state)];
    take_step(context, t, group_of(spec, state, b.type(t.param).rank()));
  }
  b.set_scope(Symbol("optimizer"));
  if (loss_scale != kNoValue) update_loss_scale(b, loss_scale, ok, spec.scale_growth);
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
    if (!o.name.starts_with("grad.") && o.name != kLossSum && o.name != kWeightSum && o.name != "scaled_loss")
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

ValueId loss_scale_of(const Graph& g, const OptimizerSpec& spec) {
  if (spec.scale_growth <= 0) return kNoValue;
  const int i = g.find_state(kLossScaleState);
  if (i < 0) throw_invalid("optimizer: the graph has no state 'loss_scale.scale'");
  return g.states[static_cast<size_t>(i)].value;
}

}  // namespace

Optimizer parse_optimizer(std::string_view name) {
  constexpr std::pair<std::string_view, Optimizer> kNames[] = {
      {"adamw", Optimizer::kAdamw}, {"sgd", Optimizer::kSgd},   {"lion", Optimizer::kLion},
      {"lamb", Optimizer::kLamb},   {"muon", Optimizer::kMuon}, {"adafactor", Optimizer::kAdafactor}};
  for (const auto& [known, kind] : kNames)
    if (known == name) return kind;
  throw_invalid("optimizer: found '" + std::string(name) +
                "', expected one of adamw, sgd, lion, lamb, adafactor, muon");
}

Graph scale_loss(const Graph& graph) {
  Graph g = graph;
  Builder b(g);
  b.set_scope(Symbol("loss"));
  ValueId scale = b.state(kLossScaleState, Type(DType::f32, {}), Role::kOptimizer);
  b.output("scaled_loss", ops::mul(b, output_value(g, kLossSum), scale));
  return g;
}

Graph with_averages(const Graph& graph) {
  Graph to;
  to.name = graph.name;
  Builder b(to);
  std::vector<ValueId> now(graph.values.size(), kNoValue);
  for (const ir::Input& i : graph.inputs) now[i.value] = b.input(i.name, graph.type(i.value));
  for (const ir::State& s : graph.states) {
    const Type& type = graph.type(s.value);
    now[s.value] =
        s.wants_grad ? ops::cast(b, b.state(ema_name(s.name), type.with_dtype(DType::f32), Role::kOptimizer),
                                 type.dtype)
                     : b.state(s.name, type, s.role, false, s.tier);
  }
  for (const ir::Node& node : graph.nodes) {
    std::vector<ValueId> operands;
    for (ValueId v : node.operands) operands.push_back(now[v]);
    b.set_scope(node.scope);
    const std::vector<ValueId> results = b.emit(*node.op, node.attrs, operands);
    for (size_t r = 0; r < results.size(); ++r) now[node.first_result + static_cast<ValueId>(r)] = results[r];
  }
  for (const ir::Output& o : graph.outputs) b.output(o.name, now[o.value]);
  HOIST_CHECK(graph.updates.empty(), "averages stand in for weights where nothing is trained");
  return to;
}

std::string ema_name(std::string_view state) { return "ema." + std::string(state); }
std::string moment1_name(std::string_view state) { return "adam_m." + std::string(state); }
std::string moment2_name(std::string_view state) { return "adam_v." + std::string(state); }
std::string master_name(std::string_view state) { return "master." + std::string(state); }

Graph add_optimizer(const Graph& graph, const OptimizerSpec& spec) {
  Graph g = graph;
  std::vector<Target> targets = targets_of(g);
  ValueId loss_sum = output_value(g, kLossSum), weight_sum = output_value(g, kWeightSum);
  drop_consumed_outputs(g);
  Builder b(g);
  apply(b, targets, loss_sum, weight_sum, loss_scale_of(g, spec), spec);
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
  const ValueId scale = spec.scale_growth > 0 ? import(kLossScaleState) : kNoValue;
  apply(b, targets, loss_sum, weight_sum, scale, spec);
  b.set_scope(Symbol("clear"));
  for (const ir::State& s : std::vector<ir::State>(g.states))
    if (s.role == Role::kAccumulator) b.update(s.name, ops::zeros_like(b, s.value));
  return g;
}

}  // namespace hoist::passes
