#include "passes/fuse_linear.h"

#include "ops/activation.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/swiglu.h"

namespace hoist::passes {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::ValueId;
using ops::LinearAttrs;

namespace {

// The name linear has for this op as an activation; empty: none.
Symbol activation_of(const ir::OpDef* op) {
  if (op == &ops::kRelu) return "relu";
  if (op == &ops::kSilu) return "silu";
  if (op == &ops::kGeluTanh) return "gelu_tanh";
  if (op == &ops::kGeluErf) return "gelu_erf";
  return {};
}

// How far the epilogue has come; a later step cannot come before an earlier one.
bool only_scaled(const LinearAttrs& a) { return !a.bias && a.activation.empty() && !a.gate && !a.residual; }
bool before_activation(const LinearAttrs& a) { return a.activation.empty() && !a.gate && !a.residual; }

struct Matcher {
  const Graph& g;
  std::span<const int> uses;

  const Node* producer(ValueId v) const {
    return g.values[v].producer < 0 ? nullptr : &g.nodes[g.values[v].producer];
  }
  // What makes v as a linear, if v is used once and has the type of what it goes into.
  std::optional<LinearMatch> inner(ValueId v, const ir::Type& into, int depth) const {
    const Node* n = producer(v);
    if (!n || uses[v] != 1 || !(g.type(v) == into)) return std::nullopt;
    return match(*n, depth - 1);
  }

  std::optional<LinearMatch> product(const Node& n) const {
    const auto& a = n.attrs.as<ops::ContractAttrs>();
    ir::Dims free;
    if (a.to == DType::f64 || !ops::linear_bias(g.type(n.operands[0]), g.type(n.operands[1]), a.out, &free))
      return std::nullopt;
    LinearMatch m;
    m.operands = {n.operands[0], n.operands[1]};
    m.attrs.out = a.out;
    m.attrs.to = a.to;
    return m;
  }

  std::optional<LinearMatch> add(const Node& n, const ir::Type& type, int depth) const {
    for (size_t i : {size_t{1}, size_t{0}}) {
      const ValueId other = n.operands[1 - i];
      auto m = inner(n.operands[i], type, depth);
      if (!m) continue;
      ir::Dims free;
      ops::linear_bias(g.type(m->operands.x), g.type(m->operands.w), m->attrs.out, &free);
      if (only_scaled(m->attrs) && free.size() < type.rank() && g.type(other).dims == free) {
        m->attrs.bias = true;
        m->operands.bias = other;
      } else if (g.type(other) == type && !m->attrs.residual) {
        m->attrs.residual = true;
        m->operands.residual = other;
      } else {
        continue;
      }
      return m;
    }
    return std::nullopt;
  }

  std::optional<LinearMatch> gated(ValueId gate, ValueId up, Symbol activation, const ir::Type& type,
                                   int depth) const {
    auto m = inner(up, type, depth);
    if (!m || !before_activation(m->attrs) || !(g.type(gate) == type)) return std::nullopt;
    m->attrs.gate = true;
    m->attrs.gate_activation = activation;
    m->operands.gate = gate;
    return m;
  }

  std::optional<LinearMatch> match(const Node& n, int depth) const {
    if (depth == 0) return std::nullopt;
    if (n.op == &ops::kContract) return product(n);
    const ir::Type& type = g.type(n.first_result);
    if (n.op == &ops::kAdd) return add(n, type, depth);
    if (n.op == &ops::kAffine) {
      const auto& a = n.attrs.as<ops::AffineAttrs>();
      auto m = a.shift == 0 ? inner(n.operands[0], type, depth) : std::nullopt;
      if (!m || !only_scaled(m->attrs)) return std::nullopt;
      m->attrs.scale *= a.scale;
      return m;
    }
    if (const Symbol activation = activation_of(n.op); !activation.empty()) {
      auto m = inner(n.operands[0], type, depth);
      if (!m || !before_activation(m->attrs)) return std::nullopt;
      m->attrs.activation = activation;
      return m;
    }
    if (n.op == &ops::kSwiglu) return gated(n.operands[0], n.operands[1], "silu", type, depth);
    if (n.op == &ops::kMul)
      for (size_t i : {size_t{0}, size_t{1}}) {
        const ValueId gate = n.operands[i], up = n.operands[1 - i];
        const Node* by = producer(gate);
        const Symbol activation = by && uses[gate] == 1 ? activation_of(by->op) : Symbol();
        auto m = gated(activation.empty() ? gate : by->operands[0], up, activation, type, depth);
        if (m) return m;
      }
    return std::nullopt;
  }
};

}  // namespace

std::optional<LinearMatch> match_linear(const Graph& graph, std::span<const int> uses, const Node& node) {
  constexpr int kDepth = 8;  // scale, bias, activation, gate and residual, and some more scales
  if (node.op == &ops::kContract) return std::nullopt;  // as it is
  return Matcher{graph, uses}.match(node, kDepth);
}

}  // namespace hoist::passes
