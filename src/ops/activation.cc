#include "ops/activation.h"

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

constexpr double kSqrt2OverPi = 0.79788456080286536;
constexpr double kCubic = 0.044715;
constexpr double kInvSqrt2 = 0.70710678118654752;
constexpr double kInvSqrt2Pi = 0.39894228040143268;

// ---- the functions and their derivatives, on wide values ----

ValueId silu_of(Builder& b, ValueId x) { return mul(b, x, sigmoid(b, x)); }
ValueId silu_slope(Builder& b, ValueId x) {
  ValueId s = sigmoid(b, x);  // s + x s (1 - s)
  return mul(b, s, affine(b, mul(b, x, affine(b, s, -1, 1)), 1, 1));
}

ValueId gelu_tanh_inner(Builder& b, ValueId x) {
  return tanh(b, mul(b, x, affine(b, square(b, x), kSqrt2OverPi * kCubic, kSqrt2OverPi)));
}
ValueId gelu_tanh_of(Builder& b, ValueId x) { return mul(b, x, affine(b, gelu_tanh_inner(b, x), 0.5, 0.5)); }
ValueId gelu_tanh_slope(Builder& b, ValueId x) {
  ValueId t = gelu_tanh_inner(b, x);
  ValueId inner = affine(b, square(b, x), 3 * kSqrt2OverPi * kCubic, kSqrt2OverPi);
  ValueId bend = mul(b, affine(b, x, 0.5), mul(b, affine(b, square(b, t), -1, 1), inner));
  return add(b, affine(b, t, 0.5, 0.5), bend);
}

ValueId normal_cdf(Builder& b, ValueId x) { return affine(b, erf(b, affine(b, x, kInvSqrt2)), 0.5, 0.5); }
ValueId gelu_erf_of(Builder& b, ValueId x) { return mul(b, x, normal_cdf(b, x)); }
ValueId gelu_erf_slope(Builder& b, ValueId x) {
  ValueId density = affine(b, exp(b, affine(b, square(b, x), -0.5)), kInvSqrt2Pi);
  return add(b, normal_cdf(b, x), mul(b, x, density));
}

using Function = ValueId (*)(Builder&, ValueId);

template <Function f>
Values decompose_value(Builder& b, const OpView&, Operands x) {
  return {cast(b, f(b, widen(b, x[0])), b.type(x[0]).dtype)};
}
template <Function slope>
Values decompose_grad(Builder& b, const OpView&, Operands x) {
  return {cast(b, mul(b, slope(b, widen(b, x[0])), widen(b, x[1])), b.type(x[0]).dtype)};
}

template <int operands>
void infer(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, operands);
  expect_dense_float(view, 0);
  if (operands == 2) expect_type(view, 1, view.operands[0].dtype, view.operands[0].dims);
  results.push_back(view.operands[0]);
}

template <int operands>
void examples(std::vector<Example>& out) {
  for (const Type& t : {Type(DType::f32, {{"tokens", 5}, {"ffn", 7}}), Type(DType::f32, {})}) {
    Example e{t.rank() ? "matrix" : "scalar", Attrs::of(NoAttrs{}), {}};
    for (int i = 0; i < operands; ++i) e.operands.push_back({t});
    out.push_back(e);
  }
}

template <int operands>
OpDef define(std::string_view name, Values (*decompose)(Builder&, const OpView&, Operands),
             void (*gradient)(GradContext&)) {
  OpDef op{name, ir::attrs_info<NoAttrs>(), infer<operands>,
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder{view, out}.map_rest();
           }};
  op.decompose = decompose;
  op.gradient = gradient;
  op.flops = [](const OpView& view) { return 8.0 * static_cast<double>(view.results[0].elements()); };
  op.examples = examples<operands>;
  op.elementwise = true;
  return op;
}

ValueId emit(Builder& b, const OpDef& op, std::initializer_list<ValueId> operands) {
  return b.emit1(op, Attrs::of(NoAttrs{}), operands);
}

}  // namespace

const OpDef kSilu = define<1>("silu", decompose_value<silu_of>,
                              [](GradContext& g) { g.set(0, silu_grad(g.b, g.operands[0], g.dresults[0])); });
const OpDef kGeluTanh = define<1>("gelu_tanh", decompose_value<gelu_tanh_of>, [](GradContext& g) {
  g.set(0, gelu_tanh_grad(g.b, g.operands[0], g.dresults[0]));
});
const OpDef kGeluErf = define<1>("gelu_erf", decompose_value<gelu_erf_of>, [](GradContext& g) {
  g.set(0, gelu_erf_grad(g.b, g.operands[0], g.dresults[0]));
});
const OpDef kSiluGrad = define<2>("silu_grad", decompose_grad<silu_slope>, nullptr);
const OpDef kGeluTanhGrad = define<2>("gelu_tanh_grad", decompose_grad<gelu_tanh_slope>, nullptr);
const OpDef kGeluErfGrad = define<2>("gelu_erf_grad", decompose_grad<gelu_erf_slope>, nullptr);

ValueId silu(Builder& b, ValueId x) { return emit(b, kSilu, {x}); }
ValueId gelu_tanh(Builder& b, ValueId x) { return emit(b, kGeluTanh, {x}); }
ValueId gelu_erf(Builder& b, ValueId x) { return emit(b, kGeluErf, {x}); }
ValueId silu_grad(Builder& b, ValueId x, ValueId dy) { return emit(b, kSiluGrad, {x, dy}); }
ValueId gelu_tanh_grad(Builder& b, ValueId x, ValueId dy) { return emit(b, kGeluTanhGrad, {x, dy}); }
ValueId gelu_erf_grad(Builder& b, ValueId x, ValueId dy) { return emit(b, kGeluErfGrad, {x, dy}); }

}  // namespace hoist::ops
