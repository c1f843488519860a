#include "passes/fuse.h"

#include "ir/rewriter.h"
#include "ops/activation.h"
#include "ops/elementwise.h"
#include "ops/swiglu.h"
#include "passes/fuse_linear.h"

namespace hoist::passes {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::ValueId;

namespace {

struct Fuser {
  const Graph& g;
  const KernelOracle& oracle;
  ir::Rewriter rewriter;
  std::vector<int> uses;

  Fuser(const Graph& graph, const KernelOracle& o)
      : g(graph), oracle(o), rewriter(graph), uses(graph.values.size(), 0) {
    for (const Node& n : g.nodes)
      for (ValueId v : n.operands) ++uses[v];
    for (const ir::Output& out : g.outputs) ++uses[out.value];
    for (const ir::Update& u : g.updates) ++uses[u.value];
  }

  // The node that makes `v`, if it is `op` and `v` has no other use.
  const Node* only_use(ValueId v, const ir::OpDef& op) const {
    if (g.values[v].producer < 0 || uses[v] != 1) return nullptr;
    const Node& n = g.nodes[g.values[v].producer];
    return n.op == &op ? &n : nullptr;
  }

  bool has_kernel(const LinearMatch& m) const {
    std::vector<ir::Type> types;
    for (ValueId v : {m.operands.x, m.operands.w, m.operands.bias, m.operands.gate, m.operands.residual})
      if (v != kNoValue) types.push_back(g.type(v));
    const ir::Attrs attrs = ir::Attrs::of(m.attrs);
    const std::vector<ir::Type> results = ir::infer_types(ops::kLinear, attrs, types);
    return oracle({&ops::kLinear, &attrs, types, results});
  }

  ValueId rewrite(const Node& node) {
    ir::Builder& b = rewriter.builder();
    b.set_scope(node.scope);
    if (auto m = match_linear(g, uses, node); m && has_kernel(*m)) {
      ops::LinearOperands mapped = m->operands;
      for (ValueId* v : {&mapped.x, &mapped.w, &mapped.bias, &mapped.gate, &mapped.residual})
        if (*v != kNoValue) *v = rewriter.map(*v);
      return ops::linear(b, mapped, m->attrs);
    }
    if (node.op == &ops::kMul) {
      for (int i = 0; i < 2; ++i) {
        ValueId gate = node.operands[static_cast<size_t>(i)], up = node.operands[static_cast<size_t>(1 - i)];
        const Node* silu = only_use(gate, ops::kSilu);
        if (silu && g.type(gate) == g.type(up))
          return ops::swiglu(b, rewriter.map(silu->operands[0]), rewriter.map(up));
      }
    } else if (node.op == &ops::kAffine) {
      if (const Node* inner = only_use(node.operands[0], ops::kAffine)) {
        const auto &o = node.attrs.as<ops::AffineAttrs>(), &i = inner->attrs.as<ops::AffineAttrs>();
        return ops::affine(b, rewriter.map(inner->operands[0]), o.scale * i.scale,
                           o.scale * i.shift + o.shift);
      }
    } else if (node.op == &ops::kCast) {
      if (const Node* inner = only_use(node.operands[0], ops::kCast)) {
        DType from = g.type(inner->operands[0]).dtype, middle = g.type(node.operands[0]).dtype;
        bool exact = (middle == DType::f32 && (from == DType::bf16 || from == DType::f16)) ||
                     (middle == DType::f64 && from == DType::f32);
        if (exact) return ops::cast(b, rewriter.map(inner->operands[0]), node.attrs.as<ops::CastAttrs>().to);
      }
    }
    return kNoValue;
  }
};

}  // namespace

Graph fuse(const Graph& graph, const KernelOracle& oracle) {
  Fuser f(graph, oracle);
  for (const Node& node : graph.nodes) {
    ValueId v = f.rewrite(node);
    if (v == kNoValue)
      f.rewriter.copy(node);
    else
      f.rewriter.replace(node, std::span<const ValueId>(&v, 1));
  }
  return f.rewriter.finish();  // patterns' insides are dead now; cleanup removes them
}

}  // namespace hoist::passes
