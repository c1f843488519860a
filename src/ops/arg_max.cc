#include "ops/arg_max.h"

#include "ops/common.h"
#include "ops/constants.h"
#include "ops/contract.h"
#include "ops/monoids.h"

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

constexpr int64_t kMaxIndex = 0x7fffffff;

void infer_arg_max(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  const ArgMaxAttrs& a = view.attrs_as<ArgMaxAttrs>();
  expect_dense_float(view, 0);
  expect_axis(view, 0, a.axis);
  const Type& x = view.operands[0];
  const int64_t size = x.size_of(a.axis);
  ir::expect(view, !x.dims[x.find(a.axis)].live, "the axis may not be live");
  ir::expect(view, size > 0 && size <= kMaxIndex, "the axis is empty or too large");
  ir::expect(view, a.base >= 0 && a.base <= kMaxIndex - size, "base out of range");
  results.push_back(x.without(a.axis));
  results.push_back(x.without(a.axis).with_dtype(DType::i32));
}

void arg_max_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder rules{view, out};
  ir::AxisRule& r = rules.map(view.attrs_as<ArgMaxAttrs>().axis);
  r.result[0] = r.result[1] = {ir::AxisKind::kMerge, &kArgMax, 0};
  r.set_base = [](Attrs& a, int64_t base) { a.as<ArgMaxAttrs>().base += base; };
  rules.map_rest();
}

void infer_top_k(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  const TopKAttrs& a = view.attrs_as<TopKAttrs>();
  expect_dense_float(view, 0);
  expect_axis(view, 0, a.axis);
  const Type& x = view.operands[0];
  const int64_t size = x.size_of(a.axis);
  ir::expect(view, !x.dims[x.find(a.axis)].live, "the axis may not be live");
  ir::expect(view, size <= kMaxIndex, "the axis is too large");
  // The gradient has one axis more.
  ir::expect(view, x.rank() < ir::Dims::capacity(), "expected at most 7 axes");
  ir::expect(view, !(a.axis == a.choice_axis), "choice_axis must differ from axis");
  ir::expect(view, a.k > 0 && a.k <= size, "expected k between 1 and the axis's size");
  Type t(x.dtype, {});
  for (const ir::Dim& d : x.dims) append_dim(view, t, d.axis == a.axis ? ir::Dim{a.choice_axis, a.k} : d);
  results.push_back(t);
  results.push_back(t.with_dtype(DType::i32));
}

void top_k_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  const TopKAttrs& a = view.attrs_as<TopKAttrs>();
  ir::RuleBuilder rules{view, out};
  rules.whole(a.axis, "the k largest are sorted over all of it");
  rules.whole(a.choice_axis, "the choices are sorted");
  rules.map_rest();
}

// The incoming gradient goes to the elements that were chosen.
ValueId scatter(GradContext& g, ValueId indices, Symbol axis, int64_t base) {
  const Type& x = g.op.operands[0];
  ValueId hot = one_hot(g.b, indices, axis, x.size_of(axis), base, x.dtype);
  return contract(g.b, hot, g.dresults[0], axes_of(x), x.dtype);
}

}  // namespace

const OpDef kArgMaxOp = [] {
  OpDef op{"arg_max", ir::attrs_info<ArgMaxAttrs>(), infer_arg_max, arg_max_rules};
  op.gradient = [](GradContext& g) {
    const ArgMaxAttrs& a = g.op.attrs_as<ArgMaxAttrs>();
    if (g.dresults[0] != ir::kNoValue) g.set(0, scatter(g, g.results[1], a.axis, a.base));
  };
  op.flops = [](const OpView& view) { return static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    out.push_back(
        {"innermost", Attrs::of(ArgMaxAttrs{"vocab"}), {{Type(DType::f32, {{"rows", 4}, {"vocab", 9}})}}});
    out.push_back({"in the middle, with a base",
                   Attrs::of(ArgMaxAttrs{"vocab", 100}),
                   {{Type(DType::f32, {{"rows", 3}, {"vocab", 5}, {"heads", 2}})}}});
  };
  return op;
}();

const OpDef kTopK = [] {
  OpDef op{"top_k", ir::attrs_info<TopKAttrs>(), infer_top_k, top_k_rules};
  op.gradient = [](GradContext& g) {
    const TopKAttrs& a = g.op.attrs_as<TopKAttrs>();
    if (g.dresults[0] != ir::kNoValue) g.set(0, scatter(g, g.results[1], a.axis, 0));
  };
  op.flops = [](const OpView& view) {
    return static_cast<double>(view.operands[0].elements()) *
           static_cast<double>(view.attrs_as<TopKAttrs>().k);
  };
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"experts of a token",
                   Attrs::of(TopKAttrs{"experts", 2, "choice"}),
                   {{Type(DType::f32, {{"tokens", 4}, {"experts", 7}})}}});
    out.push_back({"in the middle, all of them",
                   Attrs::of(TopKAttrs{"experts", 5, "choice"}),
                   {{Type(DType::f32, {{"rows", 3}, {"experts", 5}, {"heads", 2}})}}});
  };
  return op;
}();

ArgMaxResult arg_max(Builder& b, ValueId x, Symbol axis) {
  std::vector<ValueId> r = b.emit(kArgMaxOp, Attrs::of(ArgMaxAttrs{axis}), std::vector<ValueId>{x});
  return {r[0], r[1]};
}
TopKResult top_k(Builder& b, ValueId x, Symbol axis, int64_t k, Symbol choice_axis) {
  std::vector<ValueId> r = b.emit(kTopK, Attrs::of(TopKAttrs{axis, k, choice_axis}), std::vector<ValueId>{x});
  return {r[0], r[1]};
}

}  // namespace hoist::ops
