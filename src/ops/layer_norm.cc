#include "ops/layer_norm.h"

#include "ops/common.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"
#include "ops/reduce.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::Fill;
using ir::GradContext;
using ir::Monoid;
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

void expect_x_gamma(const OpView& view, Symbol axis) {
  expect_dense_float(view, 0);
  expect_innermost(view, 0, axis);
  const Type& x = view.operands[0];
  ir::expect(view, x.dims.back().size > 0, "the axis is empty");
  expect_type(view, 1, x.dtype, {x.dims.back()});
}

void phased(ir::AxisRule& r, const ir::PhasedMerge& phases) {
  r.phased = &phases;
  for (ir::ResultRule& rr : r.result) rr.kind = ir::AxisKind::kMerge;
}

double count_of(const Type& x) { return static_cast<double>(x.dims.back().size); }

// ---- layer_norm ----

Symbol axis_of(const OpView& view) { return view.attrs_as<LayerNormAttrs>().axis; }

// (count, mean, sum of squared deviations): Chan, Golub and LeVeque's update, which does not cancel.
const Monoid kMoments = {"moments", 3, [](Builder& b, Operands x, Operands y) {
                           ValueId count = add(b, x[0], y[0]), share = div(b, y[0], count);
                           ValueId delta = sub(b, y[1], x[1]);
                           ValueId mean = add(b, x[1], mul(b, delta, share));
                           ValueId spread = mul(b, square(b, delta), mul(b, x[0], share));
                           return Values{count, mean, add(b, add(b, x[2], y[2]), spread)};
                         }};

Values moments(Builder& b, ValueId x, Symbol axis) {
  const Type type = b.type(x);
  ValueId wide = widen(b, x);
  ValueId mean = affine(b, reduce_sum(b, wide, {axis}), 1 / count_of(type));
  ValueId squares = reduce_sum(b, square(b, sub(b, wide, mean)), {axis});
  return {full(b, count_of(type), statistics_dtype(type.dtype)), mean, squares};
}

const ir::PhasedMerge kPhases = {
    &kMoments, [](Builder& b, const OpView& piece, Operands x) { return moments(b, x[0], axis_of(piece)); },
    [](Builder& b, const OpView& piece, Operands x, Operands merged, int64_t extent) {
      const double eps = piece.attrs_as<LayerNormAttrs>().eps;
      ValueId rstd = rsqrt(b, affine(b, merged[2], 1 / static_cast<double>(extent), eps));
      ValueId normal = mul(b, sub(b, widen(b, x[0]), merged[1]), rstd);
      ValueId y = add(b, mul(b, normal, widen(b, x[1])), widen(b, x[2]));
      return Values{cast(b, y, b.type(x[0]).dtype), merged[1], rstd};
    }};

void gradient(GradContext& g) {
  const Symbol axis = axis_of(g.op);
  const Type& x = g.op.operands[0];
  const double n = count_of(x);
  ValueId mean = g.results[1], rstd = g.results[2], dx = ir::kNoValue;
  auto accumulate = [&](ValueId d) { dx = dx == ir::kNoValue ? d : add(g.b, dx, d); };
  if (g.dresults[0] != ir::kNoValue) {
    auto [d, dgamma, dbeta] =
        layer_norm_grad(g.b, g.operands[0], g.operands[1], mean, rstd, g.dresults[0], axis);
    accumulate(d);
    if (g.wants(1)) g.set(1, cast(g.b, dgamma, g.grad_dtype(1)));
    if (g.wants(2)) g.set(2, cast(g.b, dbeta, g.grad_dtype(2)));
  }
  if (!g.wants(0)) return;
  if (g.dresults[1] != ir::kNoValue)
    accumulate(cast(g.b, broadcast_like(g.b, affine(g.b, g.dresults[1], 1 / n), g.operands[0]), x.dtype));
  if (g.dresults[2] != ir::kNoValue) {
    // d rstd / d x = -rstd^3 (x - mean) / n
    ValueId scale = affine(g.b, mul(g.b, g.dresults[2], mul(g.b, rstd, square(g.b, rstd))), -1 / n);
    accumulate(cast(g.b, mul(g.b, sub(g.b, widen(g.b, g.operands[0]), mean), scale), x.dtype));
  }
  g.set(0, dx);
}

// ---- layer_norm_grad ----

Symbol grad_axis_of(const OpView& view) { return view.attrs_as<LayerNormGradAttrs>().axis; }

const Monoid kTwoSums = {"two_sums", 2, [](Builder& b, Operands x, Operands y) {
                           return Values{add(b, x[0], y[0]), add(b, x[1], y[1])};
                         }};

// Operands of the gradient: x, gamma, mean, rstd, dy.
ValueId normal_of(Builder& b, Operands x) { return mul(b, sub(b, widen(b, x[0]), x[2]), x[3]); }
ValueId scaled_of(Builder& b, Operands x) { return mul(b, widen(b, x[4]), widen(b, x[1])); }

const ir::PhasedMerge kGradPhases = {
    &kTwoSums,
    [](Builder& b, const OpView& piece, Operands x) {
      ValueId scaled = scaled_of(b, x);
      const AxisList axis = {grad_axis_of(piece)};
      return Values{reduce_sum(b, scaled, axis), reduce_sum(b, mul(b, scaled, normal_of(b, x)), axis)};
    },
    [](Builder& b, const OpView&, Operands x, Operands sums, int64_t extent) {
      // dx = rstd (s - mean(s) - normal mean(s normal)), s = dy gamma
      const double share = 1 / static_cast<double>(extent);
      ValueId normal = normal_of(b, x), dy = widen(b, x[4]);
      ValueId centred = sub(b, scaled_of(b, x), affine(b, sums[0], share));
      ValueId dx = mul(b, sub(b, centred, mul(b, normal, affine(b, sums[1], share))), x[3]);
      const Type like = b.type(x[1]);
      return Values{cast(b, dx, b.type(x[0]).dtype), reduce_to(b, mul(b, dy, normal), like),
                    reduce_to(b, dy, like)};
    }};

void infer_grad(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 5);
  const Symbol axis = grad_axis_of(view);
  expect_x_gamma(view, axis);
  const Type &x = view.operands[0], row = statistics_type(x, axis);
  expect_type(view, 2, row.dtype, row.dims);
  expect_type(view, 3, row.dtype, row.dims);
  expect_type(view, 4, x.dtype, x.dims);
  results.push_back(x);
  for (int i = 0; i < 2; ++i) results.push_back(Type(row.dtype, {x.dims.back()}));
}

}  // namespace

const OpDef kLayerNorm = [] {
  OpDef op{"layer_norm", ir::attrs_info<LayerNormAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 3);
             expect_x_gamma(view, axis_of(view));
             expect_type(view, 2, view.operands[1].dtype, view.operands[1].dims);
             results.push_back(view.operands[0]);
             for (int i = 0; i < 2; ++i) results.push_back(statistics_type(view.operands[0], axis_of(view)));
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder rules{view, out};
             phased(rules.map(axis_of(view)), kPhases);
             rules.map_rest();
           }};
  op.decompose = [](Builder& b, const OpView& view, Operands x) {
    return kPhases.finish(b, view, x, kPhases.partial(b, view, x), view.operands[0].dims.back().size);
  };
  op.gradient = gradient;
  op.flops = [](const OpView& view) { return 7.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    Type gamma(DType::f32, {{"model", 6}});
    Attrs a = Attrs::of(LayerNormAttrs{"model", 1e-5});
    out.push_back({"tokens",
                   a,
                   {{Type(DType::f32, {{"tokens", 4}, {"model", 6}})}, {gamma, Fill::kPositive}, {gamma}}});
    out.push_back({"batch and sequence, large eps",
                   Attrs::of(LayerNormAttrs{"model", 0.5}),
                   {{Type(DType::f32, {{"batch", 3}, {"seq", 2}, {"model", 6}})}, {gamma}, {gamma}}});
    out.push_back({"one row", a, {{gamma}, {gamma, Fill::kOne}, {gamma, Fill::kZero}}});
  };
  return op;
}();

const OpDef kLayerNormGrad = [] {
  OpDef op{"layer_norm_grad", ir::attrs_info<LayerNormGradAttrs>(), infer_grad,
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder rules{view, out};
             phased(rules.map(grad_axis_of(view)), kGradPhases);
             for (int i = 0; i + 1 < view.operands[0].rank(); ++i)
               rules.merge(view.operands[0].dims[i].axis, kSum);
           }};
  op.decompose = [](Builder& b, const OpView& view, Operands x) {
    return kGradPhases.finish(b, view, x, kGradPhases.partial(b, view, x), view.operands[0].dims.back().size);
  };
  op.flops = [](const OpView& view) { return 12.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    Type gamma(DType::f32, {{"model", 6}});
    auto add = [&](const char* note, const ir::Dims& rows) {
      Type row(DType::f32, rows), x = row;
      x.dims.push_back({"model", 6});
      out.push_back({note,
                     Attrs::of(LayerNormGradAttrs{"model"}),
                     {{x}, {gamma, Fill::kPositive}, {row}, {row, Fill::kPositive}, {x}}});
    };
    add("tokens", {{"tokens", 4}});
    add("batch and sequence", {{"batch", 3}, {"seq", 2}});
  };
  return op;
}();

LayerNormResult layer_norm(Builder& b, ValueId x, ValueId gamma, ValueId beta, Symbol axis, double eps) {
  Values r = b.emit(kLayerNorm, Attrs::of(LayerNormAttrs{axis, eps}), Values{x, gamma, beta});
  return {r[0], r[1], r[2]};
}
LayerNormGradResult layer_norm_grad(Builder& b, ValueId x, ValueId gamma, ValueId mean, ValueId rstd,
                                    ValueId dy, Symbol axis) {
  Values r = b.emit(kLayerNormGrad, Attrs::of(LayerNormGradAttrs{axis}), Values{x, gamma, mean, rstd, dy});
  return {r[0], r[1], r[2]};
}

}  // namespace hoist::ops
