#include "ops/batch_norm.h"

#include "ops/common.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
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

ir::Dim channels_of(const Type& x, Symbol axis) { return x.dims[x.find(axis)]; }

// x has the axis, other axes, and at least one number per channel; gamma is [axis].
void expect_x_gamma(const OpView& view, Symbol axis) {
  expect_dense_float(view, 0);
  expect_axis(view, 0, axis);
  const Type& x = view.operands[0];
  for (const ir::Dim& d : x.dims) ir::expect(view, d.size > 0, "an axis is empty");
  ir::expect(view, !channels_of(x, axis).live, "the channels may not be live");
  expect_type(view, 1, x.dtype, {channels_of(x, axis)});
}
Type statistics_type(const Type& x, Symbol axis) {
  return Type(statistics_dtype(x.dtype), {channels_of(x, axis)});
}
AxisList others(const Type& x, Symbol axis) {
  AxisList list;
  for (const ir::Dim& d : x.dims)
    if (!(d.axis == axis)) list.push_back(d.axis);
  return list;
}
double count_of(const Type& x, Symbol axis) {
  double n = 1;
  for (const ir::Dim& d : x.dims)
    if (!(d.axis == axis)) n *= static_cast<double>(d.size);
  return n;
}
// Sums over all other axes; x itself when there are none.
ValueId sum_others(Builder& b, ValueId x, Symbol axis) {
  const AxisList list = others(b.type(x), axis);
  return list.size() ? reduce_sum(b, x, list) : x;
}

// Every axis but the channels is a merge of statistics; the channels are independent.
void norm_rules(const OpView& view, std::vector<ir::AxisRule>& out, Symbol axis,
                const ir::PhasedMerge& phases) {
  ir::RuleBuilder rules{view, out};
  rules.map(axis);
  for (const ir::Dim& d : view.operands[0].dims) {
    if (d.axis == axis) continue;
    ir::AxisRule& r = rules.map(d.axis);
    r.phased = &phases;
    for (ir::ResultRule& rr : r.result) rr.kind = ir::AxisKind::kMerge;
  }
}

// ---- batch_norm ----

Symbol axis_of(const OpView& view) { return view.attrs_as<BatchNormAttrs>().axis; }

// (count, mean, sum of squared deviations) by Chan, Golub and LeVeque's update.
const Monoid kMoments = {"channel_moments", 3, [](Builder& b, Operands x, Operands y) {
                           ValueId count = add(b, x[0], y[0]), share = div(b, y[0], count);
                           ValueId delta = sub(b, y[1], x[1]);
                           ValueId mean = add(b, x[1], mul(b, delta, share));
                           ValueId spread = mul(b, square(b, delta), mul(b, x[0], share));
                           return Values{count, mean, add(b, add(b, x[2], y[2]), spread)};
                         }};

Values moments(Builder& b, ValueId x, Symbol axis) {
  const Type type = b.type(x);
  const double count = count_of(type, axis);
  ValueId wide = widen(b, x), mean = affine(b, sum_others(b, wide, axis), 1 / count);
  ValueId squares = sum_others(b, square(b, sub(b, wide, mean)), axis);
  return {full(b, count, statistics_dtype(type.dtype)), mean, squares};
}

const ir::PhasedMerge kPhases = {
    &kMoments, [](Builder& b, const OpView& piece, Operands x) { return moments(b, x[0], axis_of(piece)); },
    [](Builder& b, const OpView& piece, Operands x, Operands merged, int64_t) {
      const double eps = piece.attrs_as<BatchNormAttrs>().eps;
      ValueId rstd = rsqrt(b, affine(b, div(b, merged[2], merged[0]), 1, eps));
      ValueId normal = mul(b, sub(b, widen(b, x[0]), merged[1]), rstd);
      ValueId y = add(b, mul(b, normal, widen(b, x[1])), widen(b, x[2]));
      return Values{cast(b, y, b.type(x[0]).dtype), merged[1], rstd};
    }};

void gradient(GradContext& g) {
  const Symbol axis = axis_of(g.op);
  const Type& x = g.op.operands[0];
  const double n = count_of(x, axis);
  ValueId mean = g.results[1], rstd = g.results[2], dx = ir::kNoValue;
  auto accumulate = [&](ValueId d) { dx = dx == ir::kNoValue ? d : add(g.b, dx, d); };
  if (g.dresults[0] != ir::kNoValue) {
    auto [d, dgamma, dbeta] =
        batch_norm_grad(g.b, g.operands[0], g.operands[1], mean, rstd, g.dresults[0], axis);
    accumulate(d);
    if (g.wants(1)) g.set(1, cast(g.b, dgamma, g.grad_dtype(1)));
    if (g.wants(2)) g.set(2, cast(g.b, dbeta, g.grad_dtype(2)));
  }
  if (!g.wants(0)) return;
  auto like_x = [&](ValueId v) { return x.rank() == 1 ? v : broadcast_like(g.b, v, g.operands[0]); };
  if (g.dresults[1] != ir::kNoValue)
    accumulate(cast(g.b, like_x(affine(g.b, g.dresults[1], 1 / n)), x.dtype));
  if (g.dresults[2] != ir::kNoValue) {
    // d rstd / d x = -rstd^3 (x - mean) / n
    ValueId scale = affine(g.b, mul(g.b, g.dresults[2], mul(g.b, rstd, square(g.b, rstd))), -1 / n);
    accumulate(cast(g.b, mul(g.b, sub(g.b, widen(g.b, g.operands[0]), mean), scale), x.dtype));
  }
  g.set(0, dx);
}

// ---- batch_norm_grad ----

Symbol grad_axis_of(const OpView& view) { return view.attrs_as<BatchNormGradAttrs>().axis; }

const Monoid kSums = {"channel_sums", 3, [](Builder& b, Operands x, Operands y) {
                        return Values{add(b, x[0], y[0]), add(b, x[1], y[1]), add(b, x[2], y[2])};
                      }};

// Operands of the gradient: x, gamma, mean, rstd, dy.
ValueId normal_of(Builder& b, Operands x) { return mul(b, sub(b, widen(b, x[0]), x[2]), x[3]); }

const ir::PhasedMerge kGradPhases = {
    &kSums,
    [](Builder& b, const OpView& piece, Operands x) {
      const Symbol axis = grad_axis_of(piece);
      const Type type = b.type(x[0]);
      ValueId dy = widen(b, x[4]);
      return Values{full(b, count_of(type, axis), statistics_dtype(type.dtype)), sum_others(b, dy, axis),
                    sum_others(b, mul(b, dy, normal_of(b, x)), axis)};
    },
    [](Builder& b, const OpView&, Operands x, Operands sums, int64_t) {
      // dx = gamma rstd (dy - mean(dy) - normal mean(dy normal))
      ValueId centred = sub(b, widen(b, x[4]), div(b, sums[1], sums[0]));
      ValueId pulled = sub(b, centred, mul(b, normal_of(b, x), div(b, sums[2], sums[0])));
      ValueId dx = mul(b, pulled, mul(b, widen(b, x[1]), x[3]));
      return Values{cast(b, dx, b.type(x[0]).dtype), sums[2], sums[1]};
    }};

void infer_grad(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 5);
  const Symbol axis = grad_axis_of(view);
  expect_x_gamma(view, axis);
  const Type &x = view.operands[0], row = statistics_type(x, axis);
  expect_type(view, 2, row.dtype, row.dims);
  expect_type(view, 3, row.dtype, row.dims);
  expect_type(view, 4, x.dtype, x.dims);
  results = {x, row, row};
}

Type images(int64_t batch, int64_t channels, int64_t h, int64_t w) {
  return Type(DType::f32, {{"batch", batch}, {"channels", channels}, {"height", h}, {"width", w}});
}

}  // namespace

const OpDef kBatchNorm = [] {
  OpDef op{"batch_norm", ir::attrs_info<BatchNormAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 3);
             const Symbol axis = axis_of(view);
             expect_x_gamma(view, axis);
             expect_type(view, 2, view.operands[1].dtype, view.operands[1].dims);
             const Type row = statistics_type(view.operands[0], axis);
             results = {view.operands[0], row, row};
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             norm_rules(view, out, axis_of(view), kPhases);
           }};
  op.decompose = [](Builder& b, const OpView& view, Operands x) {
    return kPhases.finish(b, view, x, kPhases.partial(b, view, x), 0);
  };
  op.gradient = gradient;
  op.flops = [](const OpView& view) { return 7.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    const Type gamma(DType::f32, {{"channels", 5}});
    const Attrs a = Attrs::of(BatchNormAttrs{"channels", 1e-3});
    out.push_back({"images", a, {{images(4, 5, 3, 4)}, {gamma, Fill::kPositive}, {gamma}}});
    out.push_back({"features, large eps",
                   Attrs::of(BatchNormAttrs{"channels", 0.5}),
                   {{Type(DType::f32, {{"batch", 6}, {"channels", 5}})}, {gamma, Fill::kPositive}, {gamma}}});
  };
  return op;
}();

const OpDef kBatchNormGrad = [] {
  OpDef op{"batch_norm_grad", ir::attrs_info<BatchNormGradAttrs>(), infer_grad,
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             norm_rules(view, out, grad_axis_of(view), kGradPhases);
           }};
  op.decompose = [](Builder& b, const OpView& view, Operands x) {
    return kGradPhases.finish(b, view, x, kGradPhases.partial(b, view, x), 0);
  };
  op.flops = [](const OpView& view) { return 11.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    const Type row(DType::f32, {{"channels", 5}});
    const Attrs a = Attrs::of(BatchNormGradAttrs{"channels"});
    for (const Type& x : {images(4, 5, 3, 4), Type(DType::f32, {{"batch", 6}, {"channels", 5}})})
      out.push_back({x.rank() == 4 ? "images" : "features",
                     a,
                     {{x}, {row, Fill::kPositive}, {row}, {row, Fill::kPositive}, {x}}});
  };
  return op;
}();

const OpDef kBatchNormInference = [] {
  OpDef op{"batch_norm_inference", ir::attrs_info<BatchNormAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 5);
             const Symbol axis = axis_of(view);
             expect_x_gamma(view, axis);
             expect_type(view, 2, view.operands[1].dtype, view.operands[1].dims);
             const Type row = statistics_type(view.operands[0], axis);
             for (int i : {3, 4}) expect_type(view, i, row.dtype, row.dims);
             results = {view.operands[0]};
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder{view, out}.map_rest();
           }};
  op.decompose = [](Builder& b, const OpView& view, Operands x) {
    ValueId rstd = rsqrt(b, affine(b, x[4], 1, view.attrs_as<BatchNormAttrs>().eps));
    ValueId normal = mul(b, sub(b, widen(b, x[0]), x[3]), rstd);
    ValueId y = add(b, mul(b, normal, widen(b, x[1])), widen(b, x[2]));
    return Values{cast(b, y, b.type(x[0]).dtype)};
  };
  op.flops = [](const OpView& view) { return 2.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    const Type row(DType::f32, {{"channels", 5}});
    out.push_back({"images",
                   Attrs::of(BatchNormAttrs{"channels", 1e-3}),
                   {{images(4, 5, 3, 4)}, {row}, {row}, {row}, {row, Fill::kPositive}}});
  };
  return op;
}();

BatchNormResult batch_norm(Builder& b, ValueId x, ValueId gamma, ValueId beta, Symbol axis, double eps) {
  Values r = b.emit(kBatchNorm, Attrs::of(BatchNormAttrs{axis, eps}), Values{x, gamma, beta});
  return {r[0], r[1], r[2]};
}
ValueId batch_norm_inference(Builder& b, ValueId x, ValueId gamma, ValueId beta, ValueId mean,
                             ValueId variance, Symbol axis, double eps) {
  return b.emit1(kBatchNormInference, Attrs::of(BatchNormAttrs{axis, eps}), {x, gamma, beta, mean, variance});
}
BatchNormGradResult batch_norm_grad(Builder& b, ValueId x, ValueId gamma, ValueId mean, ValueId rstd,
                                    ValueId dy, Symbol axis) {
  Values r = b.emit(kBatchNormGrad, Attrs::of(BatchNormGradAttrs{axis}), Values{x, gamma, mean, rstd, dy});
  return {r[0], r[1], r[2]};
}

}  // namespace hoist::ops
