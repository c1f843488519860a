#include "ops/cross_entropy.h"

#include "ops/common.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

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

const CrossEntropyAttrs& attrs_of(const OpView& view) { return view.attrs_as<CrossEntropyAttrs>(); }

void add_base(Attrs& a, int64_t base) { a.as<CrossEntropyAttrs>().base += base; }

void expect_logits(const OpView& view) {
  expect_base(view, attrs_of(view).base);
  expect_dense_float(view, 0);
  expect_innermost(view, 0, attrs_of(view).axis);
  expect_type(view, 1, DType::i32, view.operands[0].without(attrs_of(view).axis).dims);
}

Type statistics_type(const OpView& view) {
  const Type& x = view.operands[0];
  return x.without(attrs_of(view).axis).with_dtype(statistics_dtype(x.dtype));
}

// 1 at the target's logit.
ValueId hit(Builder& b, const OpView& view, ValueId targets) {
  const Type& x = view.operands[0];
  const CrossEntropyAttrs& a = attrs_of(view);
  return one_hot(b, targets, a.axis, x.size_of(a.axis), a.base, statistics_dtype(x.dtype));
}

Values decompose(Builder& b, const OpView& view, Operands x) {
  const Symbol axis = attrs_of(view).axis;
  ValueId wide = widen(b, x[0]);
  // Selected, not multiplied: a masked logit may be -inf.
  ValueId picked = select(b, hit(b, view, x[1]), wide, zeros_like(b, wide));
  return {log_sum_exp(b, wide, axis), reduce_sum(b, picked, {axis})};
}

Values decompose_grad(Builder& b, const OpView& view, Operands x) {
  ValueId wide = widen(b, x[0]), lse = x[2];
  ValueId finite = maximum(b, lse, full(b, -1e30, b.type(lse).dtype));
  ValueId dense = mul(b, exp(b, sub(b, wide, finite)), x[3]);
  ValueId d = add(b, dense, mul(b, hit(b, view, x[1]), x[4]));
  return {cast(b, d, b.type(x[0]).dtype)};
}

void gradient(GradContext& g) {
  if (!g.wants(0)) return;
  const CrossEntropyAttrs& a = attrs_of(g.op);
  auto or_zero = [&](int i) {
    ValueId d = g.dresults[static_cast<size_t>(i)];
    return d != ir::kNoValue ? d : zeros_like(g.b, g.results[static_cast<size_t>(i)]);
  };
  g.set(0, cross_entropy_grad(g.b, g.operands[0], g.operands[1], g.results[0], or_zero(0), or_zero(1), a.axis,
                              a.base));
}

void examples(std::vector<Example>& out, bool grad) {
  auto add = [&](const char* note, const CrossEntropyAttrs& a, const ir::Dims& rows, int64_t ids) {
    Type x(DType::f32, rows);
    x.dims.push_back({"vocab", 9});
    Type row(DType::f32, rows);
    Example e{note, Attrs::of(a), {{x}, {Type(DType::i32, rows), Fill::kIndex, ids}}};
    if (grad) e.operands.insert(e.operands.end(), {{row, Fill::kPositive}, {row}, {row}});
    out.push_back(e);
  };
  add("tokens", {"vocab"}, {{"tokens", 5}}, 9);
  add("targets outside the piece", {"vocab", 6}, {{"batch", 2}, {"seq", 4}}, 20);
  add("one row", {"vocab"}, {}, 9);
}

}  // namespace

const OpDef kCrossEntropy = [] {
  OpDef op{"cross_entropy", ir::attrs_info<CrossEntropyAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 2);
             expect_logits(view);
             results.assign(2, statistics_type(view));
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder rules{view, out};
             ir::AxisRule& r = rules.map(attrs_of(view).axis);
             r.result[0] = {ir::AxisKind::kMerge, &kLogSumExp, 0};
             r.result[1] = {ir::AxisKind::kMerge, &kSum, 1};
             r.indexed = true;
             r.set_base = add_base;
             rules.map_rest();
           }};
  op.decompose = decompose;
  op.gradient = gradient;
  op.flops = [](const OpView& view) { return 4.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) { examples(out, false); };
  return op;
}();

const OpDef kCrossEntropyGrad = [] {
  OpDef op{"cross_entropy_grad", ir::attrs_info<CrossEntropyAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 5);
             expect_logits(view);
             const Type row = statistics_type(view);
             for (int i = 2; i < 5; ++i) expect_type(view, i, row.dtype, row.dims);
             results.push_back(view.operands[0]);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder rules{view, out};
             ir::AxisRule& r = rules.map(attrs_of(view).axis);
             r.indexed = true;
             r.set_base = add_base;
             rules.map_rest();
           }};
  op.decompose = decompose_grad;
  op.flops = [](const OpView& view) { return 5.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) { examples(out, true); };
  return op;
}();

CrossEntropyResult cross_entropy(Builder& b, ValueId logits, ValueId targets, Symbol axis) {
  Values r = b.emit(kCrossEntropy, Attrs::of(CrossEntropyAttrs{axis}), Values{logits, targets});
  return {r[0], r[1]};
}
ValueId cross_entropy_grad(Builder& b, ValueId logits, ValueId targets, ValueId lse, ValueId dlse,
                           ValueId dpicked, Symbol axis, int64_t base) {
  return b.emit1(kCrossEntropyGrad, Attrs::of(CrossEntropyAttrs{axis, base}),
                 {logits, targets, lse, dlse, dpicked});
}

}  // namespace hoist::ops
