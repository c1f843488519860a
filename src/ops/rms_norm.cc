#include "ops/rms_norm.h"

#include "ops/common.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"
#include "ops/reduce.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::Fill;
using ir::GradContext;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

using Values = std::vector<ValueId>;
using Operands = std::span<const ValueId>;

Type statistics_type(const Type& x, Symbol axis) {
  return x.without(axis).with_dtype(statistics_dtype(x.dtype));
}
Type gamma_type(const Type& x) { return Type(x.dtype, {x.dims.back()}); }

void expect_x_gamma(const OpView& view, Symbol axis) {
  expect_dense_float(view, 0);
  expect_innermost(view, 0, axis);
  const Type& x = view.operands[0];
  ir::expect(view, x.dims.back().size > 0, "the axis is empty");
  expect_type(view, 1, x.dtype, gamma_type(x).dims);
}

// ---- rms_norm ----

Symbol axis_of(const OpView& view) { return view.attrs_as<RmsNormAttrs>().axis; }

const ir::PhasedMerge kPhases = {
    &kSum,
    [](Builder& b, const OpView& piece, Operands x) {
      return Values{reduce_sum(b, square(b, widen(b, x[0])), {axis_of(piece)})};
    },
    [](Builder& b, const OpView& piece, Operands x, Operands sum, int64_t extent) {
      ValueId rstd =
          rsqrt(b, affine(b, sum[0], 1.0 / static_cast<double>(extent), piece.attrs_as<RmsNormAttrs>().eps));
      const DType dtype = b.type(x[0]).dtype;
      ValueId normal = mul(b, widen(b, x[0]), rstd);
      if (piece.attrs_as<RmsNormAttrs>().offset)
        return Values{cast(b, mul(b, normal, affine(b, widen(b, x[1]), 1, 1)), dtype), rstd};
      return Values{mul(b, cast(b, normal, dtype), x[1]), rstd};
    }};

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder rules{view, out};
  ir::AxisRule& r = rules.map(axis_of(view));
  r.phased = &kPhases;
  for (ir::ResultRule& rr : r.result) rr.kind = ir::AxisKind::kMerge;
  rules.map_rest();
}

void gradient(GradContext& g) {
  const Symbol axis = axis_of(g.op);
  const Type& x = g.op.operands[0];
  ValueId dx = ir::kNoValue;
  if (g.dresults[0] != ir::kNoValue) {
    auto [dx_y, dgamma] = rms_norm_grad(g.b, g.operands[0], g.operands[1], g.results[1], g.dresults[0], axis,
                                        g.op.attrs_as<RmsNormAttrs>().offset);
    dx = dx_y;
    if (g.wants(1)) g.set(1, cast(g.b, dgamma, g.grad_dtype(1)));
  }
  if (g.dresults[1] != ir::kNoValue && g.wants(0)) {
    // d rstd / d x = -rstd^3 x / n
    ValueId rstd = g.results[1], cube = mul(g.b, rstd, square(g.b, rstd));
    ValueId scale = affine(g.b, mul(g.b, g.dresults[1], cube), -1.0 / static_cast<double>(x.size_of(axis)));
    ValueId dx_rstd = cast(g.b, mul(g.b, widen(g.b, g.operands[0]), scale), x.dtype);
    dx = dx == ir::kNoValue ? dx_rstd : add(g.b, dx, dx_rstd);
  }
  if (g.wants(0)) g.set(0, dx);
}

// ---- rms_norm_grad ----

Symbol grad_axis_of(const OpView& view) { return view.attrs_as<RmsNormGradAttrs>().axis; }

// dy * gamma, wide.
ValueId scaled(Builder& b, const OpView& piece, Operands x) {
  ValueId gamma = widen(b, x[1]);
  if (piece.attrs_as<RmsNormGradAttrs>().offset) gamma = affine(b, gamma, 1, 1);
  return mul(b, widen(b, x[3]), gamma);
}

const ir::PhasedMerge kGradPhases = {
    &kSum,
    [](Builder& b, const OpView& piece, Operands x) {
      return Values{reduce_sum(b, mul(b, scaled(b, piece, x), widen(b, x[0])), {grad_axis_of(piece)})};
    },
    [](Builder& b, const OpView& piece, Operands x, Operands sum, int64_t extent) {
      // dx = rstd dy gamma - x rstd^3 / n sum(dy gamma x);  dgamma = sum over rows of dy x rstd
      ValueId wide = widen(b, x[0]), rstd = x[2];
      ValueId pull =
          affine(b, mul(b, sum[0], mul(b, rstd, square(b, rstd))), 1.0 / static_cast<double>(extent));
      ValueId dx = sub(b, mul(b, scaled(b, piece, x), rstd), mul(b, wide, pull));
      const Type gamma = b.type(x[1]);
      ValueId dgamma = reduce_to(b, mul(b, widen(b, x[3]), mul(b, wide, rstd)), gamma);
      return Values{cast(b, dx, b.type(x[0]).dtype), dgamma};
    }};

void infer_grad(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 4);
  const Symbol axis = grad_axis_of(view);
  expect_x_gamma(view, axis);
  const Type& x = view.operands[0];
  const Type statistics = statistics_type(x, axis);
  expect_type(view, 2, statistics.dtype, statistics.dims);
  expect_type(view, 3, x.dtype, x.dims);
  results.push_back(x);
  results.push_back(gamma_type(x).with_dtype(statistics.dtype));
}

void grad_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder rules{view, out};
  ir::AxisRule& r = rules.map(grad_axis_of(view));
  r.phased = &kGradPhases;
  for (ir::ResultRule& rr : r.result) rr.kind = ir::AxisKind::kMerge;
  for (int i = 0; i + 1 < view.operands[0].rank(); ++i) rules.merge(view.operands[0].dims[i].axis, kSum);
}

}  // namespace

const OpDef kRmsNorm = [] {
  OpDef op{"rms_norm", ir::attrs_info<RmsNormAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 2);
             expect_x_gamma(view, axis_of(view));
             results.push_back(view.operands[0]);
             results.push_back(statistics_type(view.operands[0], axis_of(view)));
           },
           rules};
  op.decompose = [](Builder& b, const OpView& view, Operands x) {
    return kPhases.finish(b, view, x, kPhases.partial(b, view, x), view.operands[0].size_of(axis_of(view)));
  };
  op.gradient = gradient;
  op.flops = [](const OpView& view) { return 4.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    Type gamma(DType::f32, {{"model", 6}});
    Attrs a = Attrs::of(RmsNormAttrs{"model", 1e-5});
    out.push_back(
        {"tokens", a, {{Type(DType::f32, {{"tokens", 4}, {"model", 6}})}, {gamma, Fill::kPositive}}});
    out.push_back(
        {"heads, large eps",
         Attrs::of(RmsNormAttrs{"model", 0.5}),
         {{Type(DType::f32, {{"tokens", 3}, {"heads", 2}, {"model", 6}})}, {gamma, Fill::kPositive}}});
    out.push_back({"one row", a, {{gamma}, {gamma}}});
    out.push_back({"weights less one",
                   Attrs::of(RmsNormAttrs{"model", 1e-5, true}),
                   {{Type(DType::f32, {{"tokens", 4}, {"model", 6}})}, {gamma}}});
  };
  return op;
}();

const OpDef kRmsNormGrad = [] {
  OpDef op{"rms_norm_grad", ir::attrs_info<RmsNormGradAttrs>(), infer_grad, grad_rules};
  op.decompose = [](Builder& b, const OpView& view, Operands x) {
    return kGradPhases.finish(b, view, x, kGradPhases.partial(b, view, x),
                              view.operands[0].size_of(grad_axis_of(view)));
  };
  op.flops = [](const OpView& view) { return 9.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    Type x(DType::f32, {{"tokens", 4}, {"model", 6}}), gamma(DType::f32, {{"model", 6}}),
        rstd(DType::f32, {{"tokens", 4}});
    Attrs a = Attrs::of(RmsNormGradAttrs{"model"});
    out.push_back({"tokens", a, {{x}, {gamma, Fill::kPositive}, {rstd, Fill::kPositive}, {x}}});
    Type heads(DType::f32, {{"tokens", 3}, {"heads", 2}, {"model", 6}});
    out.push_back({"heads", a, {{heads}, {gamma}, {heads.without("model"), Fill::kPositive}, {heads}}});
    out.push_back({"weights less one",
                   Attrs::of(RmsNormGradAttrs{"model", true}),
                   {{x}, {gamma}, {rstd, Fill::kPositive}, {x}}});
  };
  return op;
}();

RmsNormResult rms_norm(Builder& b, ValueId x, ValueId gamma, Symbol axis, double eps, bool offset) {
  Values r = b.emit(kRmsNorm, Attrs::of(RmsNormAttrs{axis, eps, offset}), Values{x, gamma});
  return {r[0], r[1]};
}
RmsNormGradResult rms_norm_grad(Builder& b, ValueId x, ValueId gamma, ValueId rstd, ValueId dy, Symbol axis,
                                bool offset) {
  Values r = b.emit(kRmsNormGrad, Attrs::of(RmsNormGradAttrs{axis, offset}), Values{x, gamma, rstd, dy});
  return {r[0], r[1]};
}

}  // namespace hoist::ops
