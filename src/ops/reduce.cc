#include "ops/reduce.h"

#include "ir/graph.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"

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

void infer_reduce(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  ir::expect(view, is_float(view.operands[0].dtype) && view.operands[0].format.empty(),
             "expected a dense float tensor");
  Type t = view.operands[0];
  const AxisList& axes = view.attrs_as<ReduceAttrs>().axes;
  ir::expect(view, !axes.empty(), "expected at least one axis");
  for (ir::Axis a : axes) {
    ir::expect(view, t.has(a), "an axis to reduce is absent (or named twice)");
    t = t.without(a);
  }
  results.push_back(t);
}

void reduce_rules(const OpView& view, std::vector<ir::AxisRule>& out, const ir::Monoid& monoid) {
  ir::RuleBuilder rules{view, out};
  for (ir::Axis a : view.attrs_as<ReduceAttrs>().axes) rules.merge(a, monoid);
  rules.map_rest();
}

void reduce_examples(std::vector<Example>& out) {
  Type t(DType::f32, {{"a", 4}, {"b", 5}, {"c", 6}});
  out.push_back({"innermost", Attrs::of(ReduceAttrs{{"c"}}), {{t}}});
  out.push_back({"outermost", Attrs::of(ReduceAttrs{{"a"}}), {{t}}});
  out.push_back({"outer and inner", Attrs::of(ReduceAttrs{{"a", "c"}}), {{t}}});
  out.push_back({"all", Attrs::of(ReduceAttrs{{"a", "b", "c"}}), {{t}}});
}

OpDef reduction(std::string_view name, void (*rules)(const OpView&, std::vector<ir::AxisRule>&),
                void (*gradient)(GradContext&)) {
  OpDef op{name, ir::attrs_info<ReduceAttrs>(), infer_reduce, rules};
  op.gradient = gradient;
  op.examples = reduce_examples;
  return op;
}

}  // namespace

const OpDef kReduceSum = reduction(
    "reduce_sum", [](const OpView& view, std::vector<ir::AxisRule>& out) { reduce_rules(view, out, kSum); },
    [](GradContext& g) { g.set(0, broadcast_like(g.b, g.dresults[0], g.operands[0])); });

// Every element equal to the maximum receives the gradient (ties are measure zero).
const OpDef kReduceMax = reduction(
    "reduce_max", [](const OpView& view, std::vector<ir::AxisRule>& out) { reduce_rules(view, out, kMax); },
    [](GradContext& g) {
      ValueId top = broadcast_like(g.b, g.results[0], g.operands[0]);
      ValueId d = broadcast_like(g.b, g.dresults[0], g.operands[0]);
      g.set(0, mul(g.b, d, greater_equal(g.b, g.operands[0], top)));
    });

const OpDef kBroadcastLike = [] {
  OpDef op{"broadcast_like", ir::attrs_info<ir::NoAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 2);
             int at = 0;
             for (const ir::Dim& d : view.operands[1].dims)
               if (at < view.operands[0].rank() && view.operands[0].dims[at] == d) ++at;
             ir::expect(view, at == view.operands[0].rank(),
                        "the axes of x must be a subset of those of like, in order");
             ir::expect(view, view.operands[0].format.empty(), "expected a dense tensor");
             results.push_back(Type(view.operands[0].dtype, view.operands[1].dims));
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder{view, out}.map_rest();
           }};
  op.gradient = [](GradContext& g) { g.set(0, reduce_to(g.b, g.dresults[0], g.op.operands[0])); };
  op.examples = [](std::vector<Example>& out) {
    Type t(DType::f32, {{"a", 4}, {"b", 5}, {"c", 6}});
    Attrs none = Attrs::of(ir::NoAttrs{});
    out.push_back({"inner axis", none, {{Type(DType::f32, {{"c", 6}})}, {t}}});
    out.push_back({"outer axis", none, {{Type(DType::f32, {{"a", 4}})}, {t}}});
    out.push_back({"scalar", none, {{Type(DType::f32, {})}, {t}}});
  };
  return op;
}();

ValueId reduce_sum(Builder& b, ValueId x, const AxisList& axes) {
  return b.emit1(kReduceSum, Attrs::of(ReduceAttrs{axes}), {x});
}
ValueId reduce_max(Builder& b, ValueId x, const AxisList& axes) {
  return b.emit1(kReduceMax, Attrs::of(ReduceAttrs{axes}), {x});
}
ValueId broadcast_like(Builder& b, ValueId x, ValueId like) {
  return b.emit1(kBroadcastLike, Attrs::of(ir::NoAttrs{}), {x, like});
}

}  // namespace hoist::ops
