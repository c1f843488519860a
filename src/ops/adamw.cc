#include "ops/adamw.h"

#include <cmath>

#include "ops/common.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"
#include "ops/reduce.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::ExampleOperand;
using ir::Fill;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

void infer(const OpView& view, std::vector<Type>& results) {
  const AdamwAttrs& a = view.attrs_as<AdamwAttrs>();
  ir::expect_operands(view, a.has_master ? 9 : 8);
  expect_dense_float(view, 0);
  expect_dense_float(view, 1);
  const Type &p = view.operands[0], &g = view.operands[1];
  ir::expect(view, p.dtype != DType::f64 && g.dtype != DType::f64, "p and g may not be f64: moments are f32");
  ir::expect(view, g.dims == p.dims, "g must have the axes of p");
  expect_type(view, 2, DType::f32, p.dims);
  expect_type(view, 3, DType::f32, p.dims);
  for (int i = 4; i < 8; ++i) expect_type(view, i, DType::f32, {});
  if (a.has_master) expect_type(view, 8, DType::f32, p.dims);
  ir::expect(view, a.beta1 >= 0 && a.beta1 < 1 && a.beta2 >= 0 && a.beta2 < 1,
             "beta1 and beta2 must be in [0, 1)");
  ir::expect(view, a.eps >= 0 && a.decay >= 0, "eps and decay must not be negative");
  results.push_back(p);
  for (size_t i : {2, 3}) results.push_back(view.operands[i]);
  if (a.has_master) results.push_back(view.operands[8]);
}

void map_rules(const OpView& view, std::vector<ir::AxisRule>& out) { ir::RuleBuilder{view, out}.map_rest(); }

// 1 / (1 - beta^step), through f64: for beta near 1 and small steps the difference cancels.
ValueId correction(Builder& b, ValueId step, double beta) {
  ValueId power = exp(b, affine(b, cast(b, step, DType::f64), std::log(beta)));
  return cast(b, reciprocal(b, affine(b, power, -1, 1)), DType::f32);
}

std::vector<ValueId> decompose(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const AdamwAttrs& a = view.attrs_as<AdamwAttrs>();
  const ValueId lr = x[4], step = x[5];
  ValueId p = a.has_master ? x[8] : cast(b, x[0], DType::f32);
  ValueId g = mul(b, cast(b, x[1], DType::f32), x[6]);
  ValueId m = add(b, affine(b, x[2], a.beta1), affine(b, g, 1 - a.beta1));
  ValueId v = add(b, affine(b, x[3], a.beta2), affine(b, square(b, g), 1 - a.beta2));
  // With beta = 0 the correction is 1 (and log(0) is not finite).
  ValueId m_hat = a.beta1 > 0 ? mul(b, m, correction(b, step, a.beta1)) : m;
  ValueId v_hat = a.beta2 > 0 ? mul(b, v, correction(b, step, a.beta2)) : v;
  ValueId direction = add(b, div(b, m_hat, affine(b, sqrt(b, v_hat), 1, a.eps)), affine(b, p, a.decay));
  ValueId moved = sub(b, p, mul(b, direction, lr));
  ValueId ok = broadcast_like(b, x[7], p);
  std::vector<ValueId> results = {cast(b, moved, view.operands[0].dtype), m, v};
  if (a.has_master) results.push_back(moved);
  const size_t before[] = {0, 2, 3, 8};
  for (size_t i = 0; i < results.size(); ++i) results[i] = select(b, ok, results[i], x[before[i]]);
  return results;
}

void examples(std::vector<Example>& out) {
  auto add = [&](const char* note, AdamwAttrs a, DType p, Fill ok, ir::Dims dims) {
    Type f32(DType::f32, dims), scalar(DType::f32, {});
    Example e{note, Attrs::of(a), {}};
    // lr, step, scale: 1 (for the moments' correction, the first step).
    e.operands = {{f32.with_dtype(p)}, {f32}, {f32}, {f32, Fill::kPositive}};
    for (Fill fill : {Fill::kPositive, Fill::kOne, Fill::kPositive, ok}) e.operands.push_back({scalar, fill});
    if (a.has_master) e.operands.push_back({f32});
    out.push_back(std::move(e));
  };
  const ir::Dims dims = {{"rows", 5}, {"cols", 7}};
  add("first step", {}, DType::f32, Fill::kOne, dims);
  add("decay, other betas", {0.8, 0.95, 1e-6, 0.1}, DType::f32, Fill::kOne, dims);
  add("no momentum", {0, 0.99, 1e-6, 0.1}, DType::f32, Fill::kOne, dims);
  add("not ok: nothing changes", {0.9, 0.99, 1e-8, 0.1}, DType::f32, Fill::kZero, dims);
  add("bf16 with an f32 master", {0.9, 0.99, 1e-8, 0.1, true}, DType::bf16, Fill::kOne, dims);
  add("scalar parameter", {0.9, 0.99, 1e-8, 0.1}, DType::f32, Fill::kOne, {});
}

// ---- sum_squares
// ---------------------------------------------------------------------------------------------

void infer_sum(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  expect_dense_float(view, 0);
  results.push_back(Type(statistics_dtype(view.operands[0].dtype), {}));
}

void sum_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  for (const ir::Dim& d : view.operands[0].dims) r.merge(d.axis, kSum);
}

std::vector<ValueId> decompose_sum(Builder& b, const OpView& view, std::span<const ValueId> x) {
  ValueId squares = square(b, widen(b, x[0]));
  return {view.operands[0].rank() == 0 ? squares : reduce_sum(b, squares, axes_of(view.operands[0]))};
}

}  // namespace

const OpDef kAdamw = [] {
  OpDef op{"adamw", ir::attrs_info<AdamwAttrs>(), infer, map_rules};
  op.decompose = decompose;
  op.no_gradient = "an update of the state; nothing is differentiated through it";
  op.flops = [](const OpView& view) { return 16.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = examples;
  op.in_place = {0, 2, 3, 8};  // without a master, the fourth result does not exist
  return op;
}();

const OpDef kSumSquares = [] {
  OpDef op{"sum_squares", ir::attrs_info<ir::NoAttrs>(), infer_sum, sum_rules};
  op.decompose = decompose_sum;
  op.gradient = [](ir::GradContext& g) {
    ValueId twice = affine(g.b, mul(g.b, widen(g.b, g.operands[0]), g.dresults[0]), 2);
    g.set(0, cast(g.b, twice, g.grad_dtype(0)));
  };
  op.examples = [](std::vector<Example>& out) {
    Attrs none = Attrs::of(ir::NoAttrs{});
    out.push_back({"matrix", none, {{Type(DType::f32, {{"rows", 5}, {"cols", 7}})}}});
    out.push_back({"two blocks and a part", none, {{Type(DType::f32, {{"rows", 3}, {"cols", 3000}})}}});
    out.push_back({"scalar", none, {{Type(DType::f32, {})}}});
    out.push_back({"16-bit",
                   none,
                   {{Type(DType::bf16, {{"rows", 5}, {"cols", 7}})}},
                   "finite differences need f32 or f64"});
  };
  return op;
}();

AdamwResults adamw(Builder& b, const AdamwOperands& in, AdamwAttrs attrs) {
  attrs.has_master = in.master != ir::kNoValue;
  std::vector<ValueId> x = {in.p, in.g, in.m, in.v, in.lr, in.step, in.scale, in.ok};
  if (attrs.has_master) x.push_back(in.master);
  std::vector<ValueId> r = b.emit(kAdamw, Attrs::of(attrs), x);
  AdamwResults out{r[0], r[1], r[2]};
  if (attrs.has_master) out.master = r[3];
  return out;
}

ValueId sum_squares(Builder& b, ValueId x) { return b.emit1(kSumSquares, Attrs::of(ir::NoAttrs{}), {x}); }

}  // namespace hoist::ops
