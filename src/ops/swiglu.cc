#include "ops/swiglu.h"

#include "ops/common.h"
#include "ops/elementwise.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::GradContext;
using ir::NoAttrs;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

using Values = std::vector<ValueId>;
using Operands = std::span<const ValueId>;

void expect_same(const OpView& view, int operands) {
  ir::expect_operands(view, operands);
  expect_dense_float(view, 0);
  for (int i = 1; i < operands; ++i) expect_type(view, i, view.operands[0].dtype, view.operands[0].dims);
}

void map_rules(const OpView& view, std::vector<ir::AxisRule>& out) { ir::RuleBuilder{view, out}.map_rest(); }

Values decompose(Builder& b, const OpView&, Operands x) {
  ValueId gate = widen(b, x[0]), y = mul(b, mul(b, gate, sigmoid(b, gate)), widen(b, x[1]));
  return {cast(b, y, b.type(x[0]).dtype)};
}

Values decompose_grad(Builder& b, const OpView&, Operands x) {
  ValueId gate = widen(b, x[0]), up = widen(b, x[1]), dy = widen(b, x[2]), s = sigmoid(b, gate);
  ValueId slope = mul(b, s, affine(b, mul(b, gate, affine(b, s, -1, 1)), 1, 1));
  DType to = b.type(x[0]).dtype;
  return {cast(b, mul(b, mul(b, dy, up), slope), to), cast(b, mul(b, dy, mul(b, gate, s)), to)};
}

void examples(std::vector<Example>& out, int operands) {
  for (const Type& t : {Type(DType::f32, {{"tokens", 5}, {"ffn", 7}}), Type(DType::f32, {{"ffn", 3}})}) {
    Example e{t.rank() == 2 ? "matrix" : "row", Attrs::of(NoAttrs{}), {}};
    for (int i = 0; i < operands; ++i) e.operands.push_back({t});
    out.push_back(e);
  }
}

}  // namespace

const OpDef kSwiglu = [] {
  OpDef op{"swiglu", ir::attrs_info<NoAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             expect_same(view, 2);
             results.push_back(view.operands[0]);
           },
           map_rules};
  op.decompose = decompose;
  op.gradient = [](GradContext& g) {
    auto [dgate, dup] = swiglu_grad(g.b, g.operands[0], g.operands[1], g.dresults[0]);
    if (g.wants(0)) g.set(0, dgate);
    if (g.wants(1)) g.set(1, dup);
  };
  op.flops = [](const OpView& view) { return 5.0 * static_cast<double>(view.results[0].elements()); };
  op.examples = [](std::vector<Example>& out) { examples(out, 2); };
  op.elementwise = true;
  return op;
}();

const OpDef kSwigluGrad = [] {
  OpDef op{"swiglu_grad", ir::attrs_info<NoAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             expect_same(view, 3);
             results.assign(2, view.operands[0]);
           },
           map_rules};
  op.decompose = decompose_grad;
  op.flops = [](const OpView& view) { return 12.0 * static_cast<double>(view.results[0].elements()); };
  op.examples = [](std::vector<Example>& out) { examples(out, 3); };
  op.elementwise = true;
  return op;
}();

ValueId swiglu(Builder& b, ValueId gate, ValueId up) {
  return b.emit1(kSwiglu, Attrs::of(NoAttrs{}), {gate, up});
}
SwigluGradResult swiglu_grad(Builder& b, ValueId gate, ValueId up, ValueId dy) {
  Values r = b.emit(kSwigluGrad, Attrs::of(NoAttrs{}), Values{gate, up, dy});
  return {r[0], r[1]};
}

}  // namespace hoist::ops
