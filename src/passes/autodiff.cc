#include "passes/autodiff.h"

#include <algorithm>

#include "base/error.h"
#include "ir/rewriter.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "passes/decompose.h"

namespace hoist::passes {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::ValueId;

namespace {

// Per value: does it depend, through floats, on a state that wants a gradient?
std::vector<uint8_t> reachable(const Graph& g) {
  std::vector<uint8_t> reach(g.values.size(), 0);
  for (const ir::State& s : g.states) reach[s.value] = s.wants_grad;
  for (const Node& n : g.nodes) {
    bool any = std::any_of(n.operands.begin(), n.operands.end(), [&](ValueId v) { return reach[v] != 0; });
    for (int i = 0; i < n.num_results; ++i)
      reach[n.first_result + i] = any && is_float(g.type(n.first_result + i).dtype);
  }
  return reach;
}

// Per value: the dtype its gradient should have. 16-bit states, and views of them, collect gradients in f32.
std::vector<DType> gradient_dtypes(const Graph& g) {
  std::vector<DType> dtypes;
  for (const ir::Value& v : g.values) dtypes.push_back(v.type.dtype);
  auto widen = [&](ValueId v) {
    if (dtypes[v] == DType::bf16 || dtypes[v] == DType::f16) dtypes[v] = DType::f32;
  };
  for (const ir::State& s : g.states)
    if (s.wants_grad) widen(s.value);
  for (const Node& n : g.nodes)
    if (n.op->view && dtypes[n.operands[0]] != g.type(n.operands[0]).dtype) widen(n.first_result);
  return dtypes;
}

ValueId full_of_type(ir::Builder& b, double value, const ir::Type& type) {
  AxisList axes;
  IntList sizes;
  for (const ir::Dim& d : type.dims) {
    axes.push_back(d.axis);
    sizes.push_back(d.size);
  }
  return ops::full(b, value, type.dtype, axes, sizes);
}

bool needs_decomposition(const Graph& g, const std::vector<uint8_t>& reach, const Node& n) {
  if (n.op->gradient || n.op->no_gradient) return false;
  for (int i = 0; i < n.num_results; ++i)
    if (reach[n.first_result + i]) {
      if (!n.op->decompose) throw_invalid(std::string(n.op->name) + ": no gradient and no decomposition");
      return true;
    }
  (void)g;
  return false;
}

}  // namespace

std::string grad_name(std::string_view state) { return "grad." + std::string(state); }

Graph autodiff(const Graph& input, std::string_view loss) {
  Graph g = input;
  while (true) {
    std::vector<uint8_t> reach = reachable(g);
    bool any = std::any_of(g.nodes.begin(), g.nodes.end(),
                           [&](const Node& n) { return needs_decomposition(g, reach, n); });
    if (!any) break;
    g = decompose_if(g, [&](const Node& n) { return needs_decomposition(g, reach, n); });
  }
  int out = g.find_output(loss);
  if (out < 0) throw_invalid("autodiff: no output named '" + std::string(loss) + "'");
  const ValueId root = g.outputs[out].value;
  if (g.type(root).rank() != 0 || !is_float(g.type(root).dtype))
    throw_invalid("autodiff: output '" + std::string(loss) + "' is " + to_string(g.type(root)) +
                  ", expected a float scalar");

  const std::vector<uint8_t> reach = reachable(g);
  const std::vector<DType> dtypes = gradient_dtypes(g);
  const int forward_nodes = static_cast<int>(g.nodes.size());
  std::vector<ValueId> grad(g.values.size(), kNoValue);
  ir::Builder b(g);
  b.set_scope(Symbol("loss"));
  grad[root] = ops::full(b, 1.0, g.type(root).dtype);

  for (int i = forward_nodes - 1; i >= 0; --i) {
    const Node node = g.nodes[i];  // a copy: emitting ops moves the vector
    std::vector<ValueId> results, dresults;
    bool any = false;
    for (int r = 0; r < node.num_results; ++r) {
      results.push_back(node.first_result + r);
      dresults.push_back(grad[node.first_result + r]);
      any |= dresults.back() != kNoValue;
    }
    if (!any ||
        !std::any_of(node.operands.begin(), node.operands.end(), [&](ValueId v) { return reach[v] != 0; }))
      continue;
    if (!node.op->gradient) {
      if (node.op->no_gradient) continue;  // piecewise constant or integer: nothing flows
      throw_invalid(std::string(node.op->name) + ": no gradient");
    }
    std::vector<uint8_t> wanted;
    std::vector<DType> want_dtypes;
    for (ValueId v : node.operands) {
      wanted.push_back(reach[v]);
      want_dtypes.push_back(dtypes[v]);
    }
    b.set_scope(node.scope);
    ir::NodeTypes types(g, node);
    ir::GradContext context{b, types.view, node.operands, results, dresults, wanted, {}, want_dtypes};
    context.doperands.assign(node.operands.size(), kNoValue);
    node.op->gradient(context);
    for (size_t k = 0; k < node.operands.size(); ++k) {
      ValueId v = node.operands[k], d = context.doperands[k];
      if (!wanted[k] || d == kNoValue) continue;
      HOIST_CHECK(g.type(d).dims == g.type(v).dims,
                  std::string(node.op->name) + ": gradient of operand " + std::to_string(k) + " has type " +
                      to_string(g.type(d)) + ", expected " + to_string(g.type(v)));
      if (grad[v] == kNoValue) {
        grad[v] = d;
      } else {
        // Contributions are added in reverse order of use, the same on every machine.
        DType wide = dtypes[v];
        grad[v] = ops::add(b, ops::cast(b, grad[v], wide), ops::cast(b, d, wide));
      }
    }
  }
  b.set_scope(Symbol("grad"));
  for (size_t i = 0; i < g.states.size(); ++i) {
    const ir::State state = g.states[i];
    if (!state.wants_grad) continue;
    ValueId d = grad[state.value];
    const ir::Type want = g.type(state.value).with_dtype(dtypes[state.value]);
    if (d == kNoValue) d = full_of_type(b, 0.0, want);  // a parameter the loss does not use
    b.output(grad_name(state.name), ops::cast(b, d, want.dtype));
  }
  return g;
}

}  // namespace hoist::passes
