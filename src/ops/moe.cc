#include "ops/moe.h"

#include "ops/common.h"
#include "ops/monoids.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Dim;
using ir::Example;
using ir::ExampleOperand;
using ir::Fill;
using ir::GradContext;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

// ---- route_sort
// ----------------------------------------------------------------------------------------------

void infer_sort(const OpView& view, std::vector<Type>& results) {
  const RouteSortAttrs& a = view.attrs_as<RouteSortAttrs>();
  ir::expect_operands(view, 1);
  expect_ids(view, 0);
  const Type& t = view.operands[0];
  ir::expect(view, t.rank() == 2, "expected experts[tokens, choices]");
  ir::expect(view, t.elements() <= INT32_MAX, "more than 2^31 - 1 pairs: rows are i32");
  ir::expect(view, a.num_experts >= 0 && a.base >= 0, "num_experts and base must not be negative");
  ir::expect(view, !t.has(a.row_axis) && !t.has(a.expert_axis) && !(a.row_axis == a.expert_axis),
             "row_axis and expert_axis must differ, and not be axes of the operand");
  Type source(DType::i32, {}), counts(DType::i32, {});
  append_dim(view, source, {a.row_axis, t.elements(), t.dims[0].live});
  append_dim(view, counts, {a.expert_axis, a.num_experts});
  results = {source, t, counts, source};
}

void sort_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  for (const Type& t : {view.operands[0], view.results[0], view.results[2]})
    for (const Dim& d : t.dims) r.whole(d.axis, "the order of rows depends on every pair");
}

void sort_examples(std::vector<Example>& out) {
  auto add = [&](const char* note, int64_t experts, int64_t limit, int64_t base) {
    out.push_back({note,
                   Attrs::of(RouteSortAttrs{"routed", "rows", experts, base}),
                   {{Type(DType::i32, {{"tokens", 6}, {"choices", 2}}), Fill::kIndex, limit}}});
  };
  add("two choices of four experts", 4, 4, 0);
  add("some experts get nothing", 9, 3, 0);
  add("a piece of the experts", 2, 6, 2);
}

// ---- grouped_contract and grouped_outer
// ----------------------------------------------------------------------

void check_pieces(const OpView& view, const GroupedAttrs& a, int64_t experts) {
  const ir::Dim& routed = view.operands[2].dims[0];
  ir::expect(view, experts >= 0 && a.expert_base >= 0 && experts <= routed.size - a.expert_base,
             "more experts than counts");
  ir::expect(view, a.row_base >= 0, "row_base must not be negative");
}

void check_operands(const OpView& view, const GroupedAttrs& a) {
  ir::expect_operands(view, 3);
  expect_dense_float(view, 0);
  if (view.operands[1].format.empty()) expect_dense_float(view, 1);
  expect_ids(view, 2);
  const Type &x = view.operands[0], &y = view.operands[1], &counts = view.operands[2];
  ir::expect(view, x.rank() >= 1 && x.dims[0].axis == a.row_axis, "row_axis must be x's outermost axis");
  ir::expect(view, counts.rank() == 1 && !counts.dims[0].live, "expected counts of one axis");
  const ir::Axis routed = counts.dims[0].axis;
  ir::expect(view, !(routed == a.expert_axis) && !x.has(routed) && !y.has(routed),
             "the axis of counts must have a name of its own: every piece holds all counts");
  const bool f64 = a.to == DType::f64;
  ir::expect(view, is_float(y.dtype), "expected float tensors");
  ir::expect(view, is_float(a.to) && (x.dtype == DType::f64) == f64 && (y.dtype == DType::f64) == f64,
             "f64 does not mix with other types");
  ir::expect(view, !x.has(a.expert_axis), "x may not have the axis of experts");
}

// As those of contract are, one expert after another.
void check_panels(const OpView& view) {
  const Type &x = view.operands[0], &w = view.operands[1];
  const std::string why = ir::format_problem(w);
  ir::expect(view, why.empty(), why.c_str());
  const int rows = w.rank() - ir::find_format(w.format)->panel;
  ir::expect(view, rows < w.rank(), "expected weights in panels");
  ir::expect(view, rows > 0, "weights in panels: expected the axis of experts outside the panels' rows");
  int64_t of_expert = 1;
  int at = 0;  // contracted axes come in the same order in both
  for (int i = 1; i < w.rank(); ++i) {
    const int j = x.find(w.dims[i].axis);
    ir::expect(view, i < rows ? j < 0 : j > at,
               "weights in panels: expected experts, free axes, then the contracted ones in the order of x");
    if (i < rows) of_expert *= w.dims[i].size;
    at = std::max(at, j);
  }
  ir::expect(
      view, of_expert % ir::kPanelRows == 0,
      "weights in panels: an expert's rows are not a multiple of 16, so that experts would share a panel");
}

void infer_contract(const OpView& view, std::vector<Type>& results) {
  const GroupedAttrs& a = view.attrs_as<GroupedAttrs>();
  check_operands(view, a);
  const Type &x = view.operands[0], &w = view.operands[1];
  ir::expect(view, w.rank() >= 1 && w.dims[0].axis == a.expert_axis && !w.dims[0].live,
             "expert_axis must be w's outermost axis");
  check_pieces(view, a, w.dims[0].size);
  if (!w.format.empty()) check_panels(view);
  for (int i = 1; i < x.rank(); ++i) {
    const int j = w.find(x.dims[i].axis);
    ir::expect(view, j > 0 && w.dims[j] == x.dims[i] && !a.out.contains(x.dims[i].axis),
               "an axis of x other than rows must be contracted with w's");
  }
  for (int j = 1; j < w.rank(); ++j)
    ir::expect(view, x.has(w.dims[j].axis) != a.out.contains(w.dims[j].axis),
               "an axis of w must be either in x or in `out`");
  Type t(a.to, {});
  append_dim(view, t, x.dims[0]);
  for (ir::Axis axis : a.out) {
    const int j = w.find(axis);
    ir::expect(view, j > 0, "an axis of `out` is not in w");
    append_dim(view, t, w.dims[j]);
  }
  results.push_back(t);
}

void infer_outer(const OpView& view, std::vector<Type>& results) {
  const GroupedAttrs& a = view.attrs_as<GroupedAttrs>();
  check_operands(view, a);
  const Type &x = view.operands[0], &y = view.operands[1];
  expect_dense_float(view, 1);
  ir::expect(view, y.rank() >= 1 && y.dims[0] == x.dims[0], "x and y must have the same rows");
  ir::expect(view, a.out.size() == x.rank() + y.rank() - 2, "`out` must list the axes of x and y but rows");
  Type t(a.to, {});
  check_pieces(view, a, a.num_experts);
  append_dim(view, t, {a.expert_axis, a.num_experts});
  for (ir::Axis axis : a.out) {
    const int i = x.find(axis), j = y.find(axis);
    ir::expect(view, (i > 0) != (j > 0), "an axis of `out` must be one of x or of y, not rows");
    append_dim(view, t, i > 0 ? x.dims[i] : y.dims[j]);
  }
  results.push_back(t);
}

void set_row_base(Attrs& attrs, int64_t base) { attrs.as<GroupedAttrs>().row_base += base; }
void set_expert_base(Attrs& attrs, int64_t base) { attrs.as<GroupedAttrs>().expert_base += base; }
void set_experts(Attrs& attrs, int64_t n) { attrs.as<GroupedAttrs>().num_experts = n; }

// Rows and experts address each other through the counts: a piece of either meets only the pairs that lie in
// both.
void grouped_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  const GroupedAttrs& a = view.attrs_as<GroupedAttrs>();
  ir::RuleBuilder r{view, out};
  ir::AxisRule& rows = r.merge(a.row_axis, kSum);
  rows.indexed = true;
  rows.set_base = set_row_base;
  ir::AxisRule& experts = r.merge(a.expert_axis, kSum);  // `rows` is no longer valid
  experts.indexed = true;
  experts.set_base = set_expert_base;
  if (view.results[0].has(a.expert_axis)) experts.set_extent = set_experts;
  r.whole(view.operands[2].dims[0].axis, "a run begins where all runs before it end");
  for (int i = 1; i < view.operands[0].rank(); ++i)
    if (ir::Axis axis = view.operands[0].dims[i].axis; !view.results[0].has(axis)) r.merge(axis, kSum);
  r.map_rest();
}

AxisList inner_axes(const Type& t) {
  AxisList axes = axes_of(t);
  axes.erase(0);
  return axes;
}

GroupedAttrs with_out(const GradContext& g, const Type& like, DType to) {
  GroupedAttrs a = g.op.attrs_as<GroupedAttrs>();
  a.out = inner_axes(like);
  a.to = to;
  a.num_experts = like.dims[0].size;  // read by grouped_outer only
  return a;
}

void contract_gradient(GradContext& g) {
  const ValueId x = g.operands[0], w = g.operands[1], counts = g.operands[2], dy = g.dresults[0];
  if (g.wants(0))
    g.set(0, grouped_contract(g.b, dy, w, counts, with_out(g, g.op.operands[0], g.grad_dtype(0))));
  if (g.wants(1)) g.set(1, grouped_outer(g.b, x, dy, counts, with_out(g, g.op.operands[1], g.grad_dtype(1))));
}

void outer_gradient(GradContext& g) {
  for (int i = 0; i < 2; ++i) {
    if (!g.wants(i)) continue;
    const GroupedAttrs a = with_out(g, g.op.operands[static_cast<size_t>(i)], g.grad_dtype(i));
    g.set(i, grouped_contract(g.b, g.operands[static_cast<size_t>(1 - i)], g.dresults[0], g.operands[2], a));
  }
}

double product(const Type& t, int from) {
  double n = 1;
  for (int i = from; i < t.rank(); ++i) n *= static_cast<double>(t.dims[i].size);
  return n;
}

double contract_flops(const OpView& view) {
  return 2 * product(view.operands[0], 0) * product(view.results[0], 1);
}
double outer_flops(const OpView& view) {
  return 2 * product(view.operands[0], 0) * product(view.operands[1], 1);
}

ExampleOperand f32(ir::Dims dims) { return {Type(DType::f32, dims)}; }
ExampleOperand counts_of(int64_t experts, int64_t rows) {
  return {Type(DType::i32, {{"routed", experts}}), Fill::kCounts, rows};
}
Attrs grouped(AxisList out, int64_t experts = 0) {
  return Attrs::of(GroupedAttrs{"rows", "experts", out, DType::f32, experts});
}

void contract_examples(std::vector<Example>& out) {
  const Dim rows{"rows", 9}, model{"model", 6}, ffn{"ffn", 5};
  auto linear = [&](const char* note, int64_t experts, int64_t counted) {
    out.push_back(
        {note,
         grouped({"ffn"}),
         {f32({rows, model}), f32({{"experts", experts}, ffn, model}), counts_of(experts, counted)}});
  };
  linear("linear layer per expert", 3, 9);
  linear("most experts are empty", 12, 9);
  linear("the last rows belong to nobody", 3, 5);
  linear("nobody has rows", 3, 0);
  const Dim heads{"heads", 2}, dim{"head_dim", 3};
  out.push_back(
      {"several axes, weight [in, out]",
       grouped({"ffn", "gate"}),
       {f32({rows, heads, dim}), f32({{"experts", 3}, heads, dim, {"gate", 3}, ffn}), counts_of(3, 9)}});
}

void outer_examples(std::vector<Example>& out) {
  const Dim rows{"rows", 9}, model{"model", 6}, ffn{"ffn", 5};
  auto linear = [&](const char* note, AxisList axes, int64_t experts, int64_t counted) {
    out.push_back(
        {note, grouped(axes, experts), {f32({rows, model}), f32({rows, ffn}), counts_of(experts, counted)}});
  };
  linear("weight gradient", {"ffn", "model"}, 3, 9);
  linear("most experts are empty", {"model", "ffn"}, 12, 9);
  linear("the last rows belong to nobody", {"ffn", "model"}, 3, 5);
  out.push_back({"interleaved axes",
                 grouped({"heads", "ffn", "head_dim"}, 3),
                 {f32({rows, {"heads", 3}, {"head_dim", 3}}), f32({rows, ffn}), counts_of(3, 9)}});
}

}  // namespace

const OpDef kRouteSort = [] {
  OpDef op{"route_sort", ir::attrs_info<RouteSortAttrs>(), infer_sort, sort_rules};
  op.no_gradient = "integer results";
  op.flops = [](const OpView&) { return 0.0; };
  op.examples = sort_examples;
  return op;
}();

const OpDef kGroupedContract = [] {
  OpDef op{"grouped_contract", ir::attrs_info<GroupedAttrs>(), infer_contract, grouped_rules};
  op.gradient = contract_gradient;
  op.flops = contract_flops;
  op.examples = contract_examples;
  return op;
}();

const OpDef kGroupedOuter = [] {
  OpDef op{"grouped_outer", ir::attrs_info<GroupedAttrs>(), infer_outer, grouped_rules};
  op.gradient = outer_gradient;
  op.flops = outer_flops;
  op.examples = outer_examples;
  return op;
}();

RouteSortResults route_sort(Builder& b, ValueId experts, const RouteSortAttrs& attrs) {
  std::vector<ValueId> r = b.emit(kRouteSort, Attrs::of(attrs), std::span(&experts, 1));
  return {r[0], r[1], r[2], r[3]};
}
ValueId grouped_contract(Builder& b, ValueId x, ValueId w, ValueId counts, const GroupedAttrs& attrs) {
  return b.emit1(kGroupedContract, Attrs::of(attrs), {x, w, counts});
}
ValueId grouped_outer(Builder& b, ValueId x, ValueId y, ValueId counts, const GroupedAttrs& attrs) {
  return b.emit1(kGroupedOuter, Attrs::of(attrs), {x, y, counts});
}

}  // namespace hoist::ops
