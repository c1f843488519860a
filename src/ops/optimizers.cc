#include "ops/optimizers.h"

#include <cmath>

#include "ops/common.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::Fill;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

constexpr const char* kNoGradient = "an update of the state; nothing is differentiated through it";

void map_rules(const OpView& view, std::vector<ir::AxisRule>& out) { ir::RuleBuilder{view, out}.map_rest(); }

// Operand i is dense f32, bf16 or f16 with the axes of operand 0.
void expect_narrow(const OpView& view, int i) {
  expect_dense_float(view, i);
  const Type& t = view.operands[static_cast<size_t>(i)];
  ir::expect(view, t.dtype != DType::f64, "no operand may be f64: states are f32");
  ir::expect(view, t.dims == view.operands[0].dims, "gradients and states must have the axes of p");
}

void expect_scalars(const OpView& view, int from, int to) {
  for (int i = from; i < to; ++i) expect_type(view, i, DType::f32, {});
}

void expect_fraction(const OpView& view, double beta) {
  ir::expect(view, beta >= 0 && beta < 1, "momentum and betas must be in [0, 1)");
}

// What the parameter truly holds, in f32.
ValueId truth(Builder& b, ValueId p, ValueId master) {
  return master == ir::kNoValue ? cast(b, p, DType::f32) : master;
}

// p', [states], [master'], each as it was where ok is 0.
std::vector<ValueId> predicated(Builder& b, ValueId ok, ValueId p, std::vector<ValueId> now,
                                const std::vector<ValueId>& before) {
  const ValueId everywhere = broadcast_like(b, ok, p);
  for (size_t i = 0; i < now.size(); ++i) now[i] = select(b, everywhere, now[i], before[i]);
  return now;
}

// ---- sgd, lion: p, g, m, lr, scale, ok, [master] ----

void infer_momentum(const OpView& view, std::vector<Type>& results, bool has_master) {
  ir::expect_operands(view, has_master ? 7 : 6);
  for (int i = 0; i < 2; ++i) expect_narrow(view, i);
  const Type& p = view.operands[0];
  expect_type(view, 2, DType::f32, p.dims);
  expect_scalars(view, 3, 6);
  if (has_master) expect_type(view, 6, DType::f32, p.dims);
  results.push_back(p);
  results.push_back(view.operands[2]);
  if (has_master) results.push_back(view.operands[6]);
}

void infer_sgd(const OpView& view, std::vector<Type>& results) {
  const SgdAttrs& a = view.attrs_as<SgdAttrs>();
  infer_momentum(view, results, a.has_master);
  expect_fraction(view, a.momentum);
  ir::expect(view, a.decay >= 0, "decay must not be negative");
}

void infer_lion(const OpView& view, std::vector<Type>& results) {
  const LionAttrs& a = view.attrs_as<LionAttrs>();
  infer_momentum(view, results, a.has_master);
  expect_fraction(view, a.beta1);
  expect_fraction(view, a.beta2);
  ir::expect(view, a.decay >= 0, "decay must not be negative");
}

std::vector<ValueId> finish_momentum(Builder& b, const OpView& view, std::span<const ValueId> x,
                                     ValueId moved, ValueId m, bool has_master) {
  std::vector<ValueId> now = {cast(b, moved, view.operands[0].dtype), m}, before = {x[0], x[2]};
  if (has_master) {
    now.push_back(moved);
    before.push_back(x[6]);
  }
  return predicated(b, x[5], x[0], std::move(now), before);
}

std::vector<ValueId> decompose_sgd(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const SgdAttrs& a = view.attrs_as<SgdAttrs>();
  ValueId p = truth(b, x[0], a.has_master ? x[6] : ir::kNoValue);
  ValueId g = add(b, mul(b, cast(b, x[1], DType::f32), x[4]), affine(b, p, a.decay));
  ValueId m = add(b, affine(b, x[2], a.momentum), g);
  ValueId u = a.nesterov ? add(b, g, affine(b, m, a.momentum)) : m;
  return finish_momentum(b, view, x, sub(b, p, mul(b, u, x[3])), m, a.has_master);
}

std::vector<ValueId> decompose_lion(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const LionAttrs& a = view.attrs_as<LionAttrs>();
  ValueId p = truth(b, x[0], a.has_master ? x[6] : ir::kNoValue);
  ValueId g = mul(b, cast(b, x[1], DType::f32), x[4]);
  ValueId c = add(b, affine(b, x[2], a.beta1), affine(b, g, 1 - a.beta1));
  ValueId zero = zeros_like(b, c);
  ValueId sign = sub(b, greater_equal(b, c, zero), greater_equal(b, zero, c));
  ValueId m = add(b, affine(b, x[2], a.beta2), affine(b, g, 1 - a.beta2));
  ValueId moved = sub(b, p, mul(b, add(b, sign, affine(b, p, a.decay)), x[3]));
  return finish_momentum(b, view, x, moved, m, a.has_master);
}

const ir::Dims& example_dims() {
  static const ir::Dims dims = {{"rows", 5}, {"cols", 7}};
  return dims;
}

template <class A>
void add_momentum(std::vector<Example>& out, const char* note, const A& a, DType p, Fill ok,
                  const ir::Dims& dims) {
  const Type f32(DType::f32, dims), scalar(DType::f32, {});
  Example e{note, Attrs::of(a), {{f32.with_dtype(p)}, {f32}, {f32}}};
  for (Fill fill : {Fill::kPositive, Fill::kPositive, ok}) e.operands.push_back({scalar, fill});
  if (a.has_master) e.operands.push_back({f32});
  out.push_back(std::move(e));
}

void sgd_examples(std::vector<Example>& out) {
  const ir::Dims& dims = example_dims();
  add_momentum<SgdAttrs>(out, "momentum", {}, DType::f32, Fill::kOne, dims);
  add_momentum<SgdAttrs>(out, "nesterov, decay", {0.8, 0.1, true}, DType::f32, Fill::kOne, dims);
  add_momentum<SgdAttrs>(out, "not ok: nothing changes", {0.9, 0.1}, DType::f32, Fill::kZero, dims);
  add_momentum<SgdAttrs>(out, "bf16 with an f32 master", {0.9, 0.1, true, true}, DType::bf16, Fill::kOne,
                         dims);
  add_momentum<SgdAttrs>(out, "scalar parameter", {}, DType::f32, Fill::kOne, {});
}

void lion_examples(std::vector<Example>& out) {
  const ir::Dims& dims = example_dims();
  add_momentum<LionAttrs>(out, "plain", {}, DType::f32, Fill::kOne, dims);
  add_momentum<LionAttrs>(out, "decay, other betas", {0.95, 0.98, 0.1}, DType::f32, Fill::kOne, dims);
  add_momentum<LionAttrs>(out, "not ok: nothing changes", {0.9, 0.99, 0.1}, DType::f32, Fill::kZero, dims);
  add_momentum<LionAttrs>(out, "bf16 with an f32 master", {0.9, 0.99, 0.1, true}, DType::bf16, Fill::kOne,
                          dims);
  add_momentum<LionAttrs>(out, "scalar parameter", {}, DType::f32, Fill::kOne, {});
}

// ---- lamb_direction: p, g, m, v, step, scale, ok ----

void infer_lamb(const OpView& view, std::vector<Type>& results) {
  const LambAttrs& a = view.attrs_as<LambAttrs>();
  ir::expect_operands(view, 7);
  for (int i = 0; i < 2; ++i) expect_narrow(view, i);
  const Type f32 = view.operands[0].with_dtype(DType::f32);
  for (int i = 2; i < 4; ++i) expect_type(view, i, DType::f32, f32.dims);
  expect_scalars(view, 4, 7);
  expect_fraction(view, a.beta1);
  expect_fraction(view, a.beta2);
  ir::expect(view, a.eps >= 0 && a.decay >= 0, "eps and decay must not be negative");
  for (int i = 0; i < 3; ++i) results.push_back(f32);
}

// x / (1 - beta^step), through f64 (ops/adamw.cc).
ValueId corrected(Builder& b, ValueId x, ValueId step, double beta) {
  if (beta == 0) return x;
  ValueId power = exp(b, affine(b, cast(b, step, DType::f64), std::log(beta)));
  return mul(b, x, cast(b, reciprocal(b, affine(b, power, -1, 1)), DType::f32));
}

std::vector<ValueId> decompose_lamb(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const LambAttrs& a = view.attrs_as<LambAttrs>();
  ValueId p = cast(b, x[0], DType::f32), g = mul(b, cast(b, x[1], DType::f32), x[5]);
  ValueId m = add(b, affine(b, x[2], a.beta1), affine(b, g, 1 - a.beta1));
  ValueId v = add(b, affine(b, x[3], a.beta2), affine(b, square(b, g), 1 - a.beta2));
  ValueId root = affine(b, sqrt(b, corrected(b, v, x[4], a.beta2)), 1, a.eps);
  ValueId u = add(b, div(b, corrected(b, m, x[4], a.beta1), root), affine(b, p, a.decay));
  return predicated(b, x[6], p, {u, m, v}, {zeros_like(b, u), x[2], x[3]});
}

void lamb_examples(std::vector<Example>& out) {
  auto add = [&](const char* note, LambAttrs a, DType p, Fill ok, ir::Dims dims) {
    const Type f32(DType::f32, dims), scalar(DType::f32, {});
    Example e{note, Attrs::of(a), {{f32.with_dtype(p)}, {f32}, {f32}, {f32, Fill::kPositive}}};
    for (Fill fill : {Fill::kOne, Fill::kPositive, ok}) e.operands.push_back({scalar, fill});
    out.push_back(std::move(e));
  };
  add("first step", {}, DType::f32, Fill::kOne, example_dims());
  add("decay, other betas", {0.8, 0.95, 1e-3, 0.1}, DType::f32, Fill::kOne, example_dims());
  add("not ok: no direction", {}, DType::f32, Fill::kZero, example_dims());
  add("bf16 parameter", {0.9, 0.99, 1e-6, 0.1}, DType::bf16, Fill::kOne, example_dims());
  add("scalar parameter", {}, DType::f32, Fill::kOne, {});
}

// ---- descend: p, u, rate, lr, ok, [master] ----

void infer_descend(const OpView& view, std::vector<Type>& results) {
  const DescendAttrs& a = view.attrs_as<DescendAttrs>();
  ir::expect_operands(view, a.has_master ? 6 : 5);
  expect_narrow(view, 0);
  const Type& p = view.operands[0];
  expect_type(view, 1, DType::f32, p.dims);
  expect_scalars(view, 2, 5);
  ir::expect(view, a.decay >= 0, "decay must not be negative");
  results.push_back(p);
  if (!a.has_master) return;
  expect_type(view, 5, DType::f32, p.dims);
  results.push_back(view.operands[5]);
}

std::vector<ValueId> decompose_descend(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const DescendAttrs& a = view.attrs_as<DescendAttrs>();
  ValueId p = truth(b, x[0], a.has_master ? x[5] : ir::kNoValue);
  ValueId kept = sub(b, p, mul(b, p, affine(b, x[3], a.decay)));
  ValueId moved = sub(b, kept, mul(b, x[1], x[2]));
  std::vector<ValueId> now = {cast(b, moved, view.operands[0].dtype)}, before = {x[0]};
  if (a.has_master) {
    now.push_back(moved);
    before.push_back(x[5]);
  }
  return predicated(b, x[4], x[0], std::move(now), before);
}

void descend_examples(std::vector<Example>& out) {
  auto add = [&](const char* note, DescendAttrs a, DType p, Fill ok, ir::Dims dims) {
    const Type f32(DType::f32, dims), scalar(DType::f32, {});
    Example e{note, Attrs::of(a), {{f32.with_dtype(p)}, {f32}}};
    for (Fill fill : {Fill::kPositive, Fill::kPositive, ok}) e.operands.push_back({scalar, fill});
    if (a.has_master) e.operands.push_back({f32});
    out.push_back(std::move(e));
  };
  add("plain", {}, DType::f32, Fill::kOne, example_dims());
  add("decay", {0.1}, DType::f32, Fill::kOne, example_dims());
  add("not ok: nothing changes", {0.1}, DType::f32, Fill::kZero, example_dims());
  add("bf16 with an f32 master", {0.1, true}, DType::bf16, Fill::kOne, example_dims());
  add("scalar parameter", {}, DType::f32, Fill::kOne, {});
}

// ---- ema: e, p, ok ----

void infer_ema(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 3);
  expect_narrow(view, 1);
  expect_type(view, 0, DType::f32, view.operands[1].dims);
  expect_scalars(view, 2, 3);
  const double decay = view.attrs_as<EmaAttrs>().decay;
  ir::expect(view, decay >= 0 && decay <= 1, "decay must be in [0, 1]");
  results.push_back(view.operands[0]);
}

std::vector<ValueId> decompose_ema(Builder& b, const OpView& view, std::span<const ValueId> x) {
  ValueId towards = affine(b, sub(b, cast(b, x[1], DType::f32), x[0]), 1 - view.attrs_as<EmaAttrs>().decay);
  return predicated(b, x[2], x[0], {add(b, x[0], towards)}, {x[0]});
}

void ema_examples(std::vector<Example>& out) {
  const Type f32(DType::f32, example_dims()), scalar(DType::f32, {});
  for (double decay : {0.9, 0.0})
    out.push_back({"average", Attrs::of(EmaAttrs{decay}), {{f32}, {f32}, {scalar, Fill::kOne}}});
  out.push_back({"not ok", Attrs::of(EmaAttrs{0.9}), {{f32}, {f32}, {scalar, Fill::kZero}}});
  out.push_back({"of a bf16 parameter",
                 Attrs::of(EmaAttrs{0.99}),
                 {{f32}, {f32.with_dtype(DType::bf16)}, {scalar, Fill::kOne}}});
}

template <int kPerElement>
double flops(const OpView& view) {
  return kPerElement * static_cast<double>(view.operands[0].elements());
}

OpDef update(std::string_view name, const ir::AttrsInfo* attrs,
             void (*infer)(const OpView&, std::vector<Type>&),
             std::vector<ValueId> (*decompose)(Builder&, const OpView&, std::span<const ValueId>),
             double (*flops)(const OpView&), void (*examples)(std::vector<Example>&),
             std::initializer_list<int8_t> in_place) {
  OpDef op{name, attrs, infer, map_rules};
  op.decompose = decompose;
  op.no_gradient = kNoGradient;
  op.flops = flops;
  op.examples = examples;
  for (int8_t i : in_place) op.in_place.push_back(i);
  return op;
}

}  // namespace

// Without a master, the result in its place does not exist.
const OpDef kSgd =
    update("sgd", ir::attrs_info<SgdAttrs>(), infer_sgd, decompose_sgd, flops<8>, sgd_examples, {0, 2, 6});
const OpDef kLion = update("lion", ir::attrs_info<LionAttrs>(), infer_lion, decompose_lion, flops<11>,
                           lion_examples, {0, 2, 6});
const OpDef kLambDirection = update("lamb_direction", ir::attrs_info<LambAttrs>(), infer_lamb, decompose_lamb,
                                    flops<15>, lamb_examples, {-1, 2, 3});
const OpDef kDescend = update("descend", ir::attrs_info<DescendAttrs>(), infer_descend, decompose_descend,
                              flops<4>, descend_examples, {0, 5});
const OpDef kEma =
    update("ema", ir::attrs_info<EmaAttrs>(), infer_ema, decompose_ema, flops<3>, ema_examples, {0});

namespace {

MomentumResults emit_momentum(Builder& b, const OpDef& op, const Attrs& attrs, const MomentumOperands& in) {
  std::vector<ValueId> x = {in.p, in.g, in.m, in.lr, in.scale, in.ok};
  const bool has_master = in.master != ir::kNoValue;
  if (has_master) x.push_back(in.master);
  const std::vector<ValueId> r = b.emit(op, attrs, x);
  return {r[0], r[1], has_master ? r[2] : ir::kNoValue};
}

}  // namespace

MomentumResults sgd(Builder& b, const MomentumOperands& in, SgdAttrs attrs) {
  attrs.has_master = in.master != ir::kNoValue;
  return emit_momentum(b, kSgd, Attrs::of(attrs), in);
}

MomentumResults lion(Builder& b, const MomentumOperands& in, LionAttrs attrs) {
  attrs.has_master = in.master != ir::kNoValue;
  return emit_momentum(b, kLion, Attrs::of(attrs), in);
}

LambResults lamb_direction(Builder& b, ValueId p, ValueId g, ValueId m, ValueId v, ValueId step,
                           ValueId scale, ValueId ok, const LambAttrs& attrs) {
  const ValueId x[] = {p, g, m, v, step, scale, ok};
  const std::vector<ValueId> r = b.emit(kLambDirection, Attrs::of(attrs), x);
  return {r[0], r[1], r[2]};
}

DescendResults descend(Builder& b, ValueId p, ValueId u, ValueId rate, ValueId lr, ValueId ok, ValueId master,
                       DescendAttrs attrs) {
  attrs.has_master = master != ir::kNoValue;
  std::vector<ValueId> x = {p, u, rate, lr, ok};
  if (attrs.has_master) x.push_back(master);
  const std::vector<ValueId> r = b.emit(kDescend, Attrs::of(attrs), x);
  return {r[0], attrs.has_master ? r[1] : ir::kNoValue};
}

ValueId ema(Builder& b, ValueId e, ValueId p, ValueId ok, const EmaAttrs& attrs) {
  return b.emit1(kEma, Attrs::of(attrs), {e, p, ok});
}

}  // namespace hoist::ops
