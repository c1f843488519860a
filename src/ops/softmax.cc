#include "ops/softmax.h"

#include "ops/common.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"
#include "ops/reduce.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::GradContext;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

using Values = std::vector<ValueId>;
using Operands = std::span<const ValueId>;

Symbol axis_of(const OpView& view) { return view.attrs_as<SoftmaxAttrs>().axis; }

void expect_operand(const OpView& view, int i) {
  expect_dense_float(view, i);
  expect_axis(view, i, axis_of(view));
}

// exp(x - lse), 0 where lse is -inf: the shift is kept finite.
ValueId exp_minus(Builder& b, ValueId x, ValueId lse) {
  return exp(b, sub(b, x, maximum(b, lse, full(b, -1e30, b.type(lse).dtype))));
}

// Every result of a phased op is mapped once the partial values have met.
void phased_rules(const OpView& view, std::vector<ir::AxisRule>& out, const ir::PhasedMerge& phased) {
  ir::RuleBuilder rules{view, out};
  ir::AxisRule& r = rules.map(axis_of(view));
  r.phased = &phased;
  for (ir::ResultRule& rr : r.result) rr.kind = ir::AxisKind::kMerge;
  rules.map_rest();
}

const ir::PhasedMerge kSoftmaxPhases = {
    &kLogSumExp,
    [](Builder& b, const OpView& piece, Operands x) { return Values{log_sum_exp(b, x[0], axis_of(piece))}; },
    [](Builder& b, const OpView&, Operands x, Operands lse, int64_t) {
      return Values{cast(b, exp_minus(b, widen(b, x[0]), lse[0]), b.type(x[0]).dtype)};
    }};

const ir::PhasedMerge kSoftmaxGradPhases = {
    &kSum,
    [](Builder& b, const OpView& piece, Operands x) {
      return Values{reduce_sum(b, mul(b, widen(b, x[0]), widen(b, x[1])), {axis_of(piece)})};
    },
    [](Builder& b, const OpView&, Operands x, Operands sum, int64_t) {
      ValueId dx = mul(b, widen(b, x[0]), sub(b, widen(b, x[1]), sum[0]));
      return Values{cast(b, dx, b.type(x[0]).dtype)};
    }};

Values decompose_softmax(Builder& b, const OpView& view, Operands x) {
  ValueId wide = widen(b, x[0]), e = exp_minus(b, wide, reduce_max(b, wide, {axis_of(view)}));
  ValueId sum = reduce_sum(b, e, {axis_of(view)});
  // The sum is at least 1, or 0 in a row of minus infinities.
  ValueId y = div(b, e, maximum(b, sum, full(b, 1e-30, b.type(sum).dtype)));
  return {cast(b, y, b.type(x[0]).dtype)};
}

Values decompose_log_sum_exp(Builder& b, const OpView& view, Operands x) {
  ValueId wide = widen(b, x[0]);
  ValueId top = reduce_max(b, wide, {axis_of(view)});
  top = maximum(b, top, full(b, -1e30, b.type(top).dtype));
  ValueId sum = reduce_sum(b, exp(b, sub(b, wide, top)), {axis_of(view)});
  return {add(b, log(b, sum), top)};
}

void examples(std::vector<Example>& out, int operands) {
  auto add = [&](const char* note, const char* axis, const ir::Dims& dims) {
    Example e{note, Attrs::of(SoftmaxAttrs{axis}), {}};
    for (int i = 0; i < operands; ++i) e.operands.push_back({Type(DType::f32, dims)});
    out.push_back(e);
  };
  add("innermost", "keys", {{"rows", 4}, {"keys", 9}});
  add("in the middle", "keys", {{"rows", 3}, {"keys", 5}, {"heads", 2}});
  add("a single row", "keys", {{"keys", 6}});
}

}  // namespace

const OpDef kSoftmax = [] {
  OpDef op{
      "softmax", ir::attrs_info<SoftmaxAttrs>(),
      [](const OpView& view, std::vector<Type>& results) {
        ir::expect_operands(view, 1);
        expect_operand(view, 0);
        results.push_back(view.operands[0]);
      },
      [](const OpView& view, std::vector<ir::AxisRule>& out) { phased_rules(view, out, kSoftmaxPhases); }};
  op.decompose = decompose_softmax;
  op.gradient = [](GradContext& g) {
    g.set(0, softmax_grad(g.b, g.results[0], g.dresults[0], axis_of(g.op)));
  };
  op.examples = [](std::vector<Example>& out) { examples(out, 1); };
  return op;
}();

const OpDef kSoftmaxGrad = [] {
  OpDef op{"softmax_grad", ir::attrs_info<SoftmaxAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 2);
             expect_operand(view, 0);
             expect_type(view, 1, view.operands[0].dtype, view.operands[0].dims);
             results.push_back(view.operands[0]);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             phased_rules(view, out, kSoftmaxGradPhases);
           }};
  op.decompose = [](Builder& b, const OpView& view, Operands x) {
    return kSoftmaxGradPhases.finish(b, view, x, kSoftmaxGradPhases.partial(b, view, x), 0);
  };
  op.examples = [](std::vector<Example>& out) { examples(out, 2); };
  return op;
}();

const OpDef kLogSumExpOp = [] {
  OpDef op{"log_sum_exp", ir::attrs_info<SoftmaxAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 1);
             expect_operand(view, 0);
             const Type& x = view.operands[0];
             results.push_back(x.without(axis_of(view)).with_dtype(statistics_dtype(x.dtype)));
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder rules{view, out};
             rules.merge(axis_of(view), kLogSumExp);
             rules.map_rest();
           }};
  op.decompose = decompose_log_sum_exp;
  op.gradient = [](GradContext& g) {
    ValueId dx = mul(g.b, exp_minus(g.b, widen(g.b, g.operands[0]), g.results[0]), g.dresults[0]);
    g.set(0, cast(g.b, dx, g.op.operands[0].dtype));
  };
  op.examples = [](std::vector<Example>& out) { examples(out, 1); };
  return op;
}();

ValueId softmax(Builder& b, ValueId x, Symbol axis) {
  return b.emit1(kSoftmax, Attrs::of(SoftmaxAttrs{axis}), {x});
}
ValueId softmax_grad(Builder& b, ValueId y, ValueId dy, Symbol axis) {
  return b.emit1(kSoftmaxGrad, Attrs::of(SoftmaxAttrs{axis}), {y, dy});
}
ValueId log_sum_exp(Builder& b, ValueId x, Symbol axis) {
  return b.emit1(kLogSumExpOp, Attrs::of(SoftmaxAttrs{axis}), {x});
}

}  // namespace hoist::ops
