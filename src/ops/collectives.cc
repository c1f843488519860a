#include "ops/collectives.h"

#include "base/error.h"
#include "ops/common.h"
#include "ops/elementwise.h"
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

constexpr int64_t kMaxRanks = int64_t{1} << 20;

void check_mesh(const OpView& view, Symbol mesh, int64_t ranks) {
  ir::expect_operands(view, 1);
  ir::expect(view, view.operands[0].format.empty(), "expected a dense tensor");
  ir::expect(view, !mesh.empty(), "expected the name of a mesh dimension");
  ir::expect(view, ranks >= 1 && ranks <= kMaxRanks, "ranks must be in 1..2^20");
}

void check_monoid(const OpView& view, Symbol monoid) {
  ir::expect(view, monoid == Symbol("sum") || monoid == Symbol("max"), "monoid must be sum or max");
}

// The size of `axis` times or divided by ranks.
void resize(const OpView& view, Type& t, Symbol axis, int64_t ranks, bool grow) {
  const int i = t.find(axis);
  ir::expect(view, i >= 0, "the operand lacks the axis");
  ir::expect(view, !t.dims[i].live, "the axis may not be live");
  if (!grow) {
    ir::expect(view, t.dims[i].size % ranks == 0, "ranks must divide the axis");
    t.dims[i].size /= ranks;
    return;
  }
  ir::expect(view, t.dims[i].size <= ir::kMaxElements / ranks, "the result is too large");
  t.dims[i].size *= ranks;
}

constexpr const char* kByMesh = "cut and joined by rank";

void rules_but(const OpView& view, std::vector<ir::AxisRule>& out, std::initializer_list<Symbol> touched) {
  ir::RuleBuilder r{view, out};
  for (Symbol axis : touched) r.whole(axis, kByMesh);
  r.map_rest();
}

double no_flops(const OpView&) { return 0; }

Type example_type() { return Type(DType::f32, {{"tokens", 4}, {"model", 6}}); }

}  // namespace

const OpDef kAllReduce = [] {
  OpDef op{"all_reduce", ir::attrs_info<AllReduceAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             const auto& a = view.attrs_as<AllReduceAttrs>();
             check_mesh(view, a.mesh, 1);
             check_monoid(view, a.monoid);
             results.push_back(view.operands[0]);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) { rules_but(view, out, {}); }};
  op.gradient = [](GradContext& g) {
    ValueId d = g.dresults[0];
    // Of a maximum, the rank that holds it (ties are measure zero).
    if (g.op.attrs_as<AllReduceAttrs>().monoid == Symbol("max"))
      d = mul(g.b, d, greater_equal(g.b, g.operands[0], g.results[0]));
    g.set(0, d);
  };
  op.flops = no_flops;
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"sum", Attrs::of(AllReduceAttrs{"tensor", "sum"}), {{example_type()}}});
    out.push_back({"max", Attrs::of(AllReduceAttrs{"tensor", "max"}), {{example_type()}}});
  };
  op.collective = true;
  return op;
}();

const OpDef kAllGather = [] {
  OpDef op{"all_gather", ir::attrs_info<GatherAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             const auto& a = view.attrs_as<GatherAttrs>();
             check_mesh(view, a.mesh, a.ranks);
             Type t = view.operands[0];
             if (t.has(a.axis)) {
               resize(view, t, a.axis, a.ranks, true);
             } else {  // every rank's x, side by side along a new outermost axis
               ir::expect(view, t.rank() < ir::Dims::capacity(), "too many axes");
               ir::expect(view, t.rank() == 0 || !t.dims[0].live, "the outermost axis may not be live");
               ir::expect(view, t.elements() <= ir::kMaxElements / a.ranks, "the result is too large");
               t.dims.insert(0, {a.axis, a.ranks});
             }
             results.push_back(t);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             rules_but(view, out, {view.attrs_as<GatherAttrs>().axis});
           }};
  op.gradient = [](GradContext& g) {
    const auto& a = g.op.attrs_as<GatherAttrs>();
    ValueId d = reduce_scatter(g.b, g.dresults[0], {a.mesh, a.ranks, a.axis, "sum"});
    g.set(0, g.op.operands[0].has(a.axis) ? d : reduce_sum(g.b, d, {a.axis}));
  };
  op.flops = no_flops;
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"outermost", Attrs::of(GatherAttrs{"data", 4, "tokens"}), {{example_type()}}});
    out.push_back({"innermost", Attrs::of(GatherAttrs{"tensor", 2, "model"}), {{example_type()}}});
    out.push_back({"new axis", Attrs::of(GatherAttrs{"tensor", 2, "rank"}), {{example_type()}}});
  };
  op.collective = true;
  return op;
}();

const OpDef kReduceScatter = [] {
  OpDef op{"reduce_scatter", ir::attrs_info<ReduceScatterAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             const auto& a = view.attrs_as<ReduceScatterAttrs>();
             check_mesh(view, a.mesh, a.ranks);
             check_monoid(view, a.monoid);
             Type t = view.operands[0];
             resize(view, t, a.axis, a.ranks, false);
             results.push_back(t);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             rules_but(view, out, {view.attrs_as<ReduceScatterAttrs>().axis});
           }};
  op.gradient = [](GradContext& g) {
    const auto& a = g.op.attrs_as<ReduceScatterAttrs>();
    // Which rank held a maximum is not known after scattering.
    if (!(a.monoid == Symbol("sum")))
      throw_unsupported("reduce_scatter: monoid=max has no gradient, expected sum");
    g.set(0, all_gather(g.b, g.dresults[0], {a.mesh, a.ranks, a.axis}));
  };
  op.flops = no_flops;
  op.examples = [](std::vector<Example>& out) {
    out.push_back(
        {"outermost", Attrs::of(ReduceScatterAttrs{"data", 4, "tokens", "sum"}), {{example_type()}}});
    out.push_back(
        {"innermost", Attrs::of(ReduceScatterAttrs{"tensor", 2, "model", "max"}), {{example_type()}}});
  };
  op.collective = true;
  return op;
}();

const OpDef kAllToAll = [] {
  OpDef op{"all_to_all", ir::attrs_info<AllToAllAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             const auto& a = view.attrs_as<AllToAllAttrs>();
             check_mesh(view, a.mesh, a.ranks);
             ir::expect(view, !(a.split_axis == a.concat_axis), "split_axis and concat_axis must differ");
             Type t = view.operands[0];
             resize(view, t, a.split_axis, a.ranks, false);
             resize(view, t, a.concat_axis, a.ranks, true);
             results.push_back(t);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             const auto& a = view.attrs_as<AllToAllAttrs>();
             rules_but(view, out, {a.split_axis, a.concat_axis});
           }};
  op.gradient = [](GradContext& g) {
    const auto& a = g.op.attrs_as<AllToAllAttrs>();
    g.set(0, all_to_all(g.b, g.dresults[0], {a.mesh, a.ranks, a.concat_axis, a.split_axis}));
  };
  op.flops = no_flops;
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"heads for sequence (Ulysses)",
                   Attrs::of(AllToAllAttrs{"sequence", 2, "model", "tokens"}),
                   {{example_type()}}});
  };
  op.collective = true;
  return op;
}();

ValueId all_reduce(Builder& b, ValueId x, const AllReduceAttrs& attrs) {
  return b.emit1(kAllReduce, Attrs::of(attrs), {x});
}
ValueId all_gather(Builder& b, ValueId x, const GatherAttrs& attrs) {
  return b.emit1(kAllGather, Attrs::of(attrs), {x});
}
ValueId reduce_scatter(Builder& b, ValueId x, const ReduceScatterAttrs& attrs) {
  return b.emit1(kReduceScatter, Attrs::of(attrs), {x});
}
ValueId all_to_all(Builder& b, ValueId x, const AllToAllAttrs& attrs) {
  return b.emit1(kAllToAll, Attrs::of(attrs), {x});
}

}  // namespace hoist::ops
