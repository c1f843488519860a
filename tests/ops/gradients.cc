#include "ops/gradients.h"

#include <cmath>

#include "base/rng.h"
#include "ir/rewriter.h"
#include "ops/elementwise.h"

namespace hoist::testing {

using ir::Builder;
using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeTypes;
using ir::Type;
using ir::ValueId;

namespace {

// Replaces ops that have a decomposition but no gradient, until only primitives are without one.
Graph differentiable(Graph graph) {
  for (int round = 0; round < 32; ++round) {
    bool changed = false;
    ir::Rewriter r(graph);
    for (const Node& node : graph.nodes) {
      if (node.op->gradient || !node.op->decompose) {
        r.copy(node);
        continue;
      }
      NodeTypes types(graph, node);
      r.replace(node, node.op->decompose(r.builder(), types.view, r.map(node.operands)));
      changed = true;
    }
    Graph next = r.finish();
    graph = std::move(next);
    if (!changed) break;
  }
  return graph;
}

double loss_of(const Tensors& results, const Tensors& weights) {
  double sum = 0;
  for (size_t i = 0; i < results.size(); ++i)
    for (int64_t j = 0; j < weights[i].type.elements(); ++j)
      if (double w = get(weights[i], j); w != 0) sum += w * get(results[i], j);
  return sum;
}

// Random weights; zero where the result is not a finite number (the lse of a row that sees no key).
Tensors draw_weights(const Tensors& results, int only) {
  Tensors weights;
  for (size_t i = 0; i < results.size(); ++i) {
    const bool counts = is_float(results[i].type.dtype) && (only < 0 || only == static_cast<int>(i));
    HostTensor w(results[i].type.with_dtype(DType::f64));
    CounterRng rng(17, i);
    for (int64_t j = 0; counts && j < w.type.elements(); ++j)
      if (std::isfinite(get(results[i], j))) set(w, j, rng.normal(static_cast<uint64_t>(j)));
    weights.push_back(std::move(w));
  }
  return weights;
}

// Central differences along `direction` of one operand.
class Differences {
 public:
  Differences(const Case& c, const Tensors& weights)
      : graph_(op_graph(c)), at_(c.operands), weights_(weights) {}

  double along(size_t operand, const HostTensor& direction) {
    constexpr double kStep = 1e-5;
    const HostTensor saved = at_[operand];
    double loss[2];
    for (int side = 0; side < 2; ++side) {
      for (int64_t j = 0; j < saved.type.elements(); ++j)
        set(at_[operand], j, get(saved, j) + (side ? -kStep : kStep) * get(direction, j));
      loss[side] = loss_of(run_graph(graph_, at_, ref()), weights_);
    }
    at_[operand] = saved;
    return (loss[0] - loss[1]) / (2 * kStep);
  }

 private:
  Graph graph_;
  Tensors at_;
  const Tensors& weights_;
};

double dot(const HostTensor& a, const HostTensor& b) {
  double sum = 0;
  for (int64_t j = 0; j < a.type.elements(); ++j) sum += get(a, j) * get(b, j);
  return sum;
}

// Three random directions of the whole operand, then up to eight single elements.
std::vector<HostTensor> directions_of(const HostTensor& t) {
  std::vector<HostTensor> out;
  const int64_t n = t.type.elements();
  for (uint64_t k = 0; k < 3 && n; ++k) {
    out.emplace_back(t.type);
    for (int64_t j = 0; j < n; ++j) set(out.back(), j, CounterRng(23, k).normal(static_cast<uint64_t>(j)));
  }
  for (int64_t k = 0; k < std::min<int64_t>(n, 8); ++k) {
    out.emplace_back(t.type);
    set(out.back(),
        n <= 8 ? k
               : static_cast<int64_t>(
                     CounterRng(29, 0).below(static_cast<uint64_t>(k), static_cast<uint64_t>(n))),
        1);
  }
  return out;
}

// The op's gradient as a graph: inputs are the operands, then one incoming gradient per result.
struct Analytic {
  Graph graph;
  std::vector<size_t> operands;  // which operand each output belongs to
};
Analytic analytic(const Case& c, const std::vector<uint8_t>& wanted, const std::vector<uint8_t>& seeded) {
  std::vector<Type> inputs = c.operand_types();
  for (const Type& t : c.result_types()) inputs.push_back(is_float(t.dtype) ? t : t.with_dtype(DType::f64));
  const size_t n = c.operands.size();
  Graph forward = differentiable(graph_of(
      inputs, [&](Builder& b, const Ids& x) { return b.emit(*c.op, c.attrs, std::span(x).first(n)); }));
  Analytic a;
  std::vector<std::pair<ValueId, ValueId>> seeds;
  for (size_t i = 0; i < forward.outputs.size(); ++i)
    if (seeded[i]) seeds.emplace_back(forward.outputs[i].value, forward.inputs[n + i].value);
  forward.outputs.clear();
  Ids wrt;
  for (size_t i = 0; i < n; ++i)
    if (wanted[i]) wrt.push_back(forward.inputs[i].value), a.operands.push_back(i);
  Builder b(forward);
  Ids grads = reverse(b, seeds, wrt);
  std::vector<size_t> present;
  for (size_t k = 0; k < grads.size(); ++k)
    if (grads[k] != kNoValue) {
      b.output("y" + std::to_string(present.size()), grads[k]);
      present.push_back(a.operands[k]);
    }
  a.operands = present;
  a.graph = std::move(forward);
  return a;
}

bool close(double x, double y) { return std::abs(x - y) <= 1e-6 * (1 + std::abs(y)); }

// Compares all wanted operands, with gradients coming into every result (`only` < 0) or one.
void compare(const Case& c, const std::vector<uint8_t>& wanted, int only, const char* skip,
             GradientReport& report) {
  const Tensors results = run_case(c, ref());
  const Tensors weights = draw_weights(results, only);
  std::vector<uint8_t> seeded;
  for (size_t i = 0; i < results.size(); ++i)
    seeded.push_back(is_float(results[i].type.dtype) && (only < 0 || only == static_cast<int>(i)));
  Analytic a = analytic(c, wanted, seeded);
  Tensors inputs = c.operands;
  for (size_t i = 0; i < results.size(); ++i)
    inputs.push_back(is_float(results[i].type.dtype) ? convert(weights[i], results[i].type.dtype)
                                                     : weights[i]);
  const Tensors grads = run_graph(a.graph, inputs, ref());
  Differences differences(c, weights);
  for (size_t i = 0; i < c.operands.size(); ++i) {
    if (!wanted[i]) continue;
    const HostTensor* grad = nullptr;
    for (size_t k = 0; k < a.operands.size(); ++k)
      if (a.operands[k] == i) grad = &grads[k];
    const std::string where =
        "operand " + std::to_string(i) + (only < 0 ? "" : " from result " + std::to_string(only));
    if (!grad && skip) {
      if (only < 0) report.left_alone.push_back(where + ": " + skip);
      continue;
    }
    if (grad && !(grad->type == c.operands[i].type)) {
      report.problem = where + ": the gradient has type " + to_string(grad->type);
      return;
    }
    for (const HostTensor& d : directions_of(c.operands[i])) {
      const double numeric = differences.along(i, d), exact = grad ? dot(*grad, d) : 0;
      ++report.comparisons;
      if (close(exact, numeric)) continue;
      char text[200];
      std::snprintf(text, sizeof text, "%s: %s derivative %.12g, finite differences %.12g", where.c_str(),
                    grad ? "gradient gives" : "no gradient, so", exact, numeric);
      report.problem = text;
      return;
    }
  }
}

}  // namespace

Ids reverse(Builder& b, const std::vector<std::pair<ValueId, ValueId>>& seeds, const Ids& wrt) {
  const size_t nodes = b.graph().nodes.size(), count = b.graph().values.size();
  std::vector<uint8_t> depends(count, 0);
  for (ValueId v : wrt) depends[static_cast<size_t>(v)] = 1;
  for (const Node& node : b.graph().nodes)
    for (ValueId v : node.operands)
      for (int i = 0; depends[static_cast<size_t>(v)] && i < node.num_results; ++i)
        depends[static_cast<size_t>(node.first_result + i)] = is_float(b.type(node.first_result + i).dtype);
  Ids grads(count, kNoValue);
  auto add_to = [&](ValueId v, ValueId d) {
    ValueId& slot = grads[static_cast<size_t>(v)];
    slot = slot == kNoValue ? d : ops::add(b, slot, d);
  };
  for (auto [value, seed] : seeds) add_to(value, seed);
  for (size_t n = nodes; n-- > 0;) {
    const Node node = b.graph().nodes[n];
    Ids results, dresults;
    std::vector<uint8_t> wanted;
    bool any_in = false, any_out = false;
    for (int i = 0; i < node.num_results; ++i) {
      results.push_back(node.first_result + i);
      dresults.push_back(grads[static_cast<size_t>(node.first_result + i)]);
      any_in |= dresults.back() != kNoValue;
    }
    for (ValueId v : node.operands) {
      wanted.push_back(depends[static_cast<size_t>(v)]);
      any_out |= wanted.back() != 0;
    }
    if (!any_in || !any_out) continue;
    if (!node.op->gradient) {
      HOIST_CHECK(node.op->no_gradient, std::string(node.op->name) + ": no gradient and no reason");
      continue;
    }
    NodeTypes types(b.graph(), node);
    ir::GradContext g{
        b, types.view, node.operands, results, dresults, wanted, Ids(node.operands.size(), kNoValue)};
    node.op->gradient(g);
    for (size_t i = 0; i < node.operands.size(); ++i)
      if (wanted[i] && g.doperands[i] != kNoValue) add_to(node.operands[i], g.doperands[i]);
  }
  Ids out;
  for (ValueId v : wrt) out.push_back(grads[static_cast<size_t>(v)]);
  return out;
}

GradientReport check_gradient(const Case& c, const char* skip) {
  GradientReport report;
  if (!c.op->gradient && !c.op->decompose) {
    report.skipped = c.op->no_gradient ? c.op->no_gradient : "";
    if (!c.op->no_gradient) report.problem = "no gradient, no decomposition and no reason";
    return report;
  }
  if (!c.op->gradient && c.op->no_gradient) {
    report.skipped = c.op->no_gradient;
    return report;
  }
  auto doubled = with_floats(c, DType::f64);
  if (!doubled) {
    report.skipped = "no floating-point operand";
    bool any = false;
    for (const HostTensor& t : c.operands) any |= is_float(t.type.dtype);
    if (any) report.problem = "has floating-point operands but accepts none in f64";
    return report;
  }
  for (size_t i = 0; i < c.operands.size(); ++i)
    if (is_float(c.operands[i].type.dtype) && !doubled->switched[i])
      report.left_alone.push_back("operand " + std::to_string(i) + ": f32 whatever the other operands are");
  int float_results = 0;
  for (const Type& t : doubled->c.result_types()) float_results += is_float(t.dtype);
  compare(doubled->c, doubled->switched, -1, skip, report);
  // A result that nobody uses has no incoming gradient: each result alone.
  const int results = static_cast<int>(doubled->c.result_types().size());
  for (int i = 0; i < results && float_results > 1 && report.problem.empty(); ++i)
    if (is_float(doubled->c.result_types()[static_cast<size_t>(i)].dtype))
      compare(doubled->c, doubled->switched, i, skip, report);
  return report;
}

}  // namespace hoist::testing
