#include "ops/shape.h"

#include <algorithm>

#include "ops/common.h"

namespace hoist::ops {

using ir::Attrs;
using ir::AxisKind;
using ir::AxisRule;
using ir::Builder;
using ir::Dim;
using ir::Example;
using ir::GradContext;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

constexpr const char* kShifts = "indices shift along it";

void expect_dense(const OpView& view) {
  for (const Type& t : view.operands) ir::expect(view, t.format.empty(), "expected a dense tensor");
}

// A map between operand 0's dimension `from` and result 0's dimension `to` (-1: absent).
AxisRule& map_dims(std::vector<AxisRule>& out, ir::Axis axis, int64_t extent, int from, int to) {
  AxisRule r;
  r.axis = axis;
  r.extent = extent;
  r.operand_dim.push_back(static_cast<int8_t>(from));
  r.result_dim.push_back(static_cast<int8_t>(to));
  r.result.push_back({AxisKind::kMap});
  out.push_back(r);
  return out.back();
}

// The dimension `axis` of operand 0, which must exist and not be live.
int fixed_axis(const OpView& view, ir::Axis axis) {
  expect_axis(view, 0, axis);
  int i = view.operands[0].find(axis);
  ir::expect(view, !view.operands[0].dims[i].live, "the axis may not be live");
  return i;
}

void segments_rules(const OpView& view, std::vector<AxisRule>& out, ir::Axis axis) {
  ir::RuleBuilder rules{view, out};
  AxisRule& r = rules.whole(axis, kShifts);
  for (ir::ResultRule& rr : r.result) rr.kind = AxisKind::kSegments;
  rules.map_rest();
}

Type example_type() { return Type(DType::f32, {{"a", 4}, {"b", 6}, {"c", 3}}); }

// ---- rename ----

void infer_rename(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  const RenameAttrs& a = view.attrs_as<RenameAttrs>();
  ir::expect(view, a.from.size() == a.to.size() && !a.from.empty(), "expected as many new names as old ones");
  for (int i = 0; i < a.from.size(); ++i) {
    expect_axis(view, 0, a.from[i]);
    ir::expect(view, a.from.index_of(a.from[i]) == i, "an axis is renamed twice");
  }
  Type t(view.operands[0].dtype, {});
  for (Dim d : view.operands[0].dims) {
    if (int i = a.from.index_of(d.axis); i >= 0) d.axis = a.to[i];
    append_dim(view, t, d);
  }
  t.format = view.operands[0].format;
  results.push_back(t);
}

void rename_rules(const OpView& view, std::vector<AxisRule>& out) {
  for (int i = 0; i < view.results[0].rank(); ++i)
    map_dims(out, view.results[0].dims[i].axis, view.results[0].dims[i].size, i, i);
}

// ---- split_axis and merge_axes ----

void infer_split(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  expect_dense(view);
  const SplitAxisAttrs& a = view.attrs_as<SplitAxisAttrs>();
  int at = fixed_axis(view, a.axis);
  ir::expect(view, !a.into.empty() && a.into.size() == a.sizes.size(), "expected as many sizes as new axes");
  int64_t product = 1;
  for (int64_t s : a.sizes)
    ir::expect(view, s >= 0 && !__builtin_mul_overflow(product, s, &product), "sizes out of range");
  ir::expect(view, product == view.operands[0].dims[at].size,
             "the product of the sizes differs from the axis's");
  Type t(view.operands[0].dtype, {});
  for (int i = 0; i < view.operands[0].rank(); ++i) {
    if (i != at) append_dim(view, t, view.operands[0].dims[i]);
    for (int j = 0; i == at && j < a.into.size(); ++j) append_dim(view, t, {a.into[j], a.sizes[j]});
  }
  results.push_back(t);
}

void infer_merge(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  expect_dense(view);
  const MergeAxesAttrs& a = view.attrs_as<MergeAxesAttrs>();
  ir::expect(view, !a.axes.empty(), "expected at least one axis");
  int at = fixed_axis(view, a.axes[0]);
  const ir::Dims& dims = view.operands[0].dims;
  Dim merged{a.into, 1};
  for (int j = 0; j < a.axes.size(); ++j) {
    ir::expect(view, at + j < dims.size() && dims[at + j].axis == a.axes[j],
               "expected adjacent axes in x's order");
    ir::expect(view, !dims[at + j].live, "a merged axis may not be live");
    merged.size *= dims[at + j].size;
  }
  Type t(view.operands[0].dtype, {});
  for (int i = 0; i < dims.size(); ++i) {
    if (i == at) append_dim(view, t, merged);
    if (i < at || i >= at + a.axes.size()) append_dim(view, t, dims[i]);
  }
  results.push_back(t);
}

// Between `joined` (where the group is one axis, at dimension `at`) and `apart` (where it is `factors` axes).
// The outermost factor maps: a piece of it is the same fraction of the joined axis.
void regroup_rules(const Type& joined, const Type& apart, int at, int factors, bool apart_is_operand,
                   void (*set_extent)(Attrs&, int64_t), std::vector<AxisRule>& out) {
  auto add = [&](const Dim& d, int in_joined, int in_apart) -> AxisRule& {
    return apart_is_operand ? map_dims(out, d.axis, d.size, in_apart, in_joined)
                            : map_dims(out, d.axis, d.size, in_joined, in_apart);
  };
  for (int i = 0; i < joined.rank(); ++i) {
    if (i < at) add(joined.dims[i], i, i);
    if (i > at) add(joined.dims[i], i, i + factors - 1);
    if (i != at) continue;
    add(apart.dims[at], at, at).set_extent = set_extent;
    for (int j = 1; j < factors; ++j) {
      AxisRule& r = add(apart.dims[at + j], -1, at + j);
      r.result[0].kind = AxisKind::kWhole;
      r.why_whole = "an inner factor: its pieces are not contiguous in the joined axis";
    }
  }
}

void split_rules(const OpView& view, std::vector<AxisRule>& out) {
  const SplitAxisAttrs& a = view.attrs_as<SplitAxisAttrs>();
  regroup_rules(
      view.operands[0], view.results[0], view.operands[0].find(a.axis), a.into.size(), false,
      [](Attrs& attrs, int64_t extent) { attrs.as<SplitAxisAttrs>().sizes[0] = extent; }, out);
}

void merge_rules(const OpView& view, std::vector<AxisRule>& out) {
  const MergeAxesAttrs& a = view.attrs_as<MergeAxesAttrs>();
  regroup_rules(view.results[0], view.operands[0], view.operands[0].find(a.axes[0]), a.axes.size(), true,
                nullptr, out);
}

// ---- transpose ----

void infer_transpose(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  expect_dense(view);
  const Type& x = view.operands[0];
  for (int i = 1; i < x.rank(); ++i) ir::expect(view, !x.dims[i].live, "a live axis must stay outermost");
  Type t(x.dtype, {});
  for (ir::Axis axis : view.attrs_as<TransposeAttrs>().axes) {
    expect_axis(view, 0, axis);
    append_dim(view, t, x.dims[x.find(axis)]);
    ir::expect(view, t.rank() == 1 || !t.dims.back().live, "a live axis must stay outermost");
  }
  ir::expect(view, t.rank() == x.rank(), "expected a permutation of x's axes");
  results.push_back(t);
}

// ---- slice, concat, pad ----

void infer_slice(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  expect_dense(view);
  const SliceAttrs& a = view.attrs_as<SliceAttrs>();
  int at = fixed_axis(view, a.axis);
  Type t = view.operands[0];
  ir::expect(view,
             a.start >= 0 && a.size >= 0 && a.start <= t.dims[at].size && a.size <= t.dims[at].size - a.start,
             "the slice leaves the axis");
  t.dims[at].size = a.size;
  results.push_back(t);
}

void infer_concat(const OpView& view, std::vector<Type>& results) {
  ir::expect(view, !view.operands.empty(), "expected at least one operand");
  expect_dense(view);
  const ir::Axis axis = view.attrs_as<ConcatAttrs>().axis;
  int at = fixed_axis(view, axis);
  Type t = view.operands[0];
  for (size_t i = 1; i < view.operands.size(); ++i) {
    expect_axis(view, static_cast<int>(i), axis);
    Type other = view.operands[i];
    const int64_t size = other.size_of(axis);
    other.dims[other.find(axis)].size = t.dims[at].size;
    ir::expect(view, other == t, "expected operands that differ in the size of the axis only");
    ir::expect(view, !__builtin_add_overflow(t.dims[at].size, size, &t.dims[at].size),
               "the result has more than 2^59 elements");
  }
  Type checked(t.dtype, {});
  for (const Dim& d : t.dims) append_dim(view, checked, d);
  results.push_back(checked);
}

void infer_pad(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  expect_dense(view);
  const PadAttrs& a = view.attrs_as<PadAttrs>();
  int at = fixed_axis(view, a.axis);
  const Type& x = view.operands[0];
  constexpr int64_t kLimit = int64_t{1} << 59;
  ir::expect(view, a.lo >= 0 && a.hi >= 0 && a.lo <= kLimit && a.hi <= kLimit,
             "expected non-negative padding");
  Type t(x.dtype, {});
  for (int i = 0; i < x.rank(); ++i)
    append_dim(view, t, {x.dims[i].axis, x.dims[i].size + (i == at ? a.lo + a.hi : 0), x.dims[i].live});
  if (!is_float(x.dtype))
    ir::expect(view, a.value >= -128 && a.value <= 127, "integers pad with -128 .. 127 only");
  if (x.dtype == DType::u8) ir::expect(view, a.value >= 0, "u8 pads with 0 .. 127 only");
  results.push_back(t);
}

void concat_gradient(GradContext& g) {
  const ir::Axis axis = g.op.attrs_as<ConcatAttrs>().axis;
  int64_t start = 0;
  for (size_t i = 0; i < g.operands.size(); ++i) {
    const int64_t size = g.op.operands[i].size_of(axis);
    if (g.wants(static_cast<int>(i)))
      g.set(static_cast<int>(i), slice(g.b, g.dresults[0], axis, start, size));
    start += size;
  }
}

}  // namespace

const OpDef kRename = [] {
  OpDef op{"rename", ir::attrs_info<RenameAttrs>(), infer_rename, rename_rules};
  op.gradient = [](GradContext& g) {
    const RenameAttrs& a = g.op.attrs_as<RenameAttrs>();
    g.set(0, rename(g.b, g.dresults[0], a.to, a.from));
  };
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"one axis", Attrs::of(RenameAttrs{{"b"}, {"keys"}}), {{example_type()}}});
    out.push_back({"two swap names", Attrs::of(RenameAttrs{{"a", "c"}, {"c", "a"}}), {{example_type()}}});
  };
  op.view = true;
  return op;
}();

const OpDef kSplitAxis = [] {
  OpDef op{"split_axis", ir::attrs_info<SplitAxisAttrs>(), infer_split, split_rules};
  op.gradient = [](GradContext& g) {
    const SplitAxisAttrs& a = g.op.attrs_as<SplitAxisAttrs>();
    g.set(0, merge_axes(g.b, g.dresults[0], a.into, a.axis));
  };
  op.examples = [](std::vector<Example>& out) {
    out.push_back(
        {"in the middle", Attrs::of(SplitAxisAttrs{"b", {"heads", "group"}, {3, 2}}), {{example_type()}}});
    out.push_back(
        {"into three", Attrs::of(SplitAxisAttrs{"a", {"a", "x", "y"}, {2, 1, 2}}), {{example_type()}}});
  };
  op.view = true;
  return op;
}();

const OpDef kMergeAxes = [] {
  OpDef op{"merge_axes", ir::attrs_info<MergeAxesAttrs>(), infer_merge, merge_rules};
  op.gradient = [](GradContext& g) {
    const MergeAxesAttrs& a = g.op.attrs_as<MergeAxesAttrs>();
    IntList sizes;
    for (ir::Axis axis : a.axes) sizes.push_back(g.op.operands[0].size_of(axis));
    g.set(0, split_axis(g.b, g.dresults[0], a.into, a.axes, sizes));
  };
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"inner two", Attrs::of(MergeAxesAttrs{{"b", "c"}, "model"}), {{example_type()}}});
    out.push_back({"all", Attrs::of(MergeAxesAttrs{{"a", "b", "c"}, "flat"}), {{example_type()}}});
  };
  op.view = true;
  return op;
}();

const OpDef kTranspose = [] {
  OpDef op{"transpose", ir::attrs_info<TransposeAttrs>(), infer_transpose,
           [](const OpView& view, std::vector<AxisRule>& out) {
             ir::RuleBuilder{view, out}.map_rest();
           }};
  op.gradient = [](GradContext& g) { g.set(0, transpose(g.b, g.dresults[0], axes_of(g.op.operands[0]))); };
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"inner two", Attrs::of(TransposeAttrs{{"a", "c", "b"}}), {{example_type()}}});
    out.push_back({"reversed", Attrs::of(TransposeAttrs{{"c", "b", "a"}}), {{example_type()}}});
  };
  return op;
}();

const OpDef kSlice = [] {
  OpDef op{"slice", ir::attrs_info<SliceAttrs>(), infer_slice,
           [](const OpView& view, std::vector<AxisRule>& out) {
             segments_rules(view, out, view.attrs_as<SliceAttrs>().axis);
           }};
  op.gradient = [](GradContext& g) {
    const SliceAttrs& a = g.op.attrs_as<SliceAttrs>();
    g.set(0, pad(g.b, g.dresults[0], a.axis, a.start, g.op.operands[0].size_of(a.axis) - a.start - a.size));
  };
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"middle axis", Attrs::of(SliceAttrs{"b", 1, 3}), {{example_type()}}});
    out.push_back({"innermost axis, to the end", Attrs::of(SliceAttrs{"c", 2, 1}), {{example_type()}}});
    out.push_back({"nothing", Attrs::of(SliceAttrs{"a", 4, 0}), {{example_type()}}});
  };
  return op;
}();

const OpDef kConcat = [] {
  OpDef op{"concat", ir::attrs_info<ConcatAttrs>(), infer_concat,
           [](const OpView& view, std::vector<AxisRule>& out) {
             segments_rules(view, out, view.attrs_as<ConcatAttrs>().axis);
           }};
  op.gradient = concat_gradient;
  op.examples = [](std::vector<Example>& out) {
    Type x = example_type(), y = example_type(), z = example_type();
    y.dims[1].size = 2, z.dims[1].size = 1;
    out.push_back({"three along the middle", Attrs::of(ConcatAttrs{"b"}), {{x}, {y}, {z}}});
    Type inner = example_type();
    inner.dims[2].size = 5;
    out.push_back({"two along the innermost", Attrs::of(ConcatAttrs{"c"}), {{x}, {inner}}});
    out.push_back({"one", Attrs::of(ConcatAttrs{"a"}), {{x}}});
  };
  return op;
}();

const OpDef kPad = [] {
  OpDef op{"pad", ir::attrs_info<PadAttrs>(), infer_pad, [](const OpView& view, std::vector<AxisRule>& out) {
             segments_rules(view, out, view.attrs_as<PadAttrs>().axis);
           }};
  op.gradient = [](GradContext& g) {
    const PadAttrs& a = g.op.attrs_as<PadAttrs>();
    g.set(0, slice(g.b, g.dresults[0], a.axis, a.lo, g.op.operands[0].size_of(a.axis)));
  };
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"both sides", Attrs::of(PadAttrs{"b", 2, 1}), {{example_type()}}});
    out.push_back({"with a value", Attrs::of(PadAttrs{"c", 0, 2, -1.5}), {{example_type()}}});
    out.push_back({"outermost", Attrs::of(PadAttrs{"a", 1, 0}), {{example_type()}}});
  };
  return op;
}();

ValueId rename(Builder& b, ValueId x, const AxisList& from, const AxisList& to) {
  return b.emit1(kRename, Attrs::of(RenameAttrs{from, to}), {x});
}
ValueId split_axis(Builder& b, ValueId x, Symbol axis, const AxisList& into, const IntList& sizes) {
  return b.emit1(kSplitAxis, Attrs::of(SplitAxisAttrs{axis, into, sizes}), {x});
}
ValueId merge_axes(Builder& b, ValueId x, const AxisList& axes, Symbol into) {
  return b.emit1(kMergeAxes, Attrs::of(MergeAxesAttrs{axes, into}), {x});
}
ValueId transpose(Builder& b, ValueId x, const AxisList& axes) {
  return axes == axes_of(b.type(x)) ? x : b.emit1(kTranspose, Attrs::of(TransposeAttrs{axes}), {x});
}
ValueId slice(Builder& b, ValueId x, Symbol axis, int64_t start, int64_t size) {
  return b.emit1(kSlice, Attrs::of(SliceAttrs{axis, start, size}), {x});
}
ValueId concat(Builder& b, std::span<const ValueId> xs, Symbol axis) {
  return b.emit(kConcat, Attrs::of(ConcatAttrs{axis}), xs)[0];
}
ValueId pad(Builder& b, ValueId x, Symbol axis, int64_t lo, int64_t hi, double value) {
  return b.emit1(kPad, Attrs::of(PadAttrs{axis, lo, hi, value}), {x});
}

}  // namespace hoist::ops
