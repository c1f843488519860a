#include "ops/constants.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "ops/common.h"
#include "ops/reduce.h"
#include "ops/shape.h"

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

constexpr const char* kConstant = "no operand to differentiate";

void expect_representable(const OpView& view, double value, DType dtype) {
  double lo = 0, hi = 0;
  switch (dtype) {
    case DType::i32: lo = -0x1p31, hi = 0x1p31 - 1; break;
    case DType::i64: lo = -0x1p53, hi = 0x1p53; break;
    case DType::u8: lo = 0, hi = 255; break;
    case DType::i8: lo = -128, hi = 127; break;
    default: return;
  }
  ir::expect(view, value >= lo && value <= hi && value == std::floor(value),
             "the value does not fit the dtype");
}

// rules.h hands set_extent the attributes only, so each position of `sizes` has its own function.
using SetExtent = void (*)(Attrs&, int64_t);
template <int i>
void set_full_extent(Attrs& attrs, int64_t extent) {
  attrs.as<FullAttrs>().sizes[i] = extent;
}
template <int... i>
constexpr std::array<SetExtent, sizeof...(i)> full_setters(std::integer_sequence<int, i...>) {
  return {set_full_extent<i>...};
}
constexpr auto kFullSetters = full_setters(std::make_integer_sequence<int, AxisList::capacity()>());

}  // namespace

const OpDef kFull = [] {
  OpDef op{"full", ir::attrs_info<FullAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 0);
             const FullAttrs& a = view.attrs_as<FullAttrs>();
             ir::expect(view, a.axes.size() == a.sizes.size(), "expected as many sizes as axes");
             expect_representable(view, a.value, a.dtype);
             Type t(a.dtype, {});
             for (int i = 0; i < a.axes.size(); ++i) append_dim(view, t, {a.axes[i], a.sizes[i]});
             results.push_back(t);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             const AxisList& axes = view.attrs_as<FullAttrs>().axes;
             for (int i = 0; i < axes.size(); ++i)
               ir::RuleBuilder{view, out}.map(axes[i]).set_extent = kFullSetters[static_cast<size_t>(i)];
           }};
  op.no_gradient = kConstant;
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"scalar", Attrs::of(FullAttrs{1.5, DType::f32, {}, {}}), {}});
    out.push_back({"matrix", Attrs::of(FullAttrs{-0.25, DType::f32, {"rows", "cols"}, {3, 5}}), {}});
    out.push_back({"integers", Attrs::of(FullAttrs{7, DType::i32, {"rows"}, {4}}), {}});
  };
  return op;
}();

const OpDef kIota = [] {
  OpDef op{"iota", ir::attrs_info<IotaAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 0);
             const IotaAttrs& a = view.attrs_as<IotaAttrs>();
             ir::expect(view, a.size >= 0 && a.size <= int64_t{1} << 52, "size out of range");
             expect_base(view, a.base);
             expect_representable(view, static_cast<double>(a.base), a.dtype);
             expect_representable(view, static_cast<double>(a.base + a.size), a.dtype);
             Type t(a.dtype, {});
             append_dim(view, t, {a.axis, a.size});
             results.push_back(t);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::AxisRule& r = ir::RuleBuilder{view, out}.map(view.attrs_as<IotaAttrs>().axis);
             r.set_base = [](Attrs& a, int64_t base) { a.as<IotaAttrs>().base += base; };
             r.set_extent = [](Attrs& a, int64_t extent) { a.as<IotaAttrs>().size = extent; };
           }};
  op.no_gradient = kConstant;
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"positions", Attrs::of(IotaAttrs{"seq", 6}), {}});
    out.push_back({"with a base", Attrs::of(IotaAttrs{"seq", 6, 10}), {}});
    out.push_back({"as floats", Attrs::of(IotaAttrs{"seq", 5, -2, DType::f32}), {}});
  };
  return op;
}();

const OpDef kValues = [] {
  OpDef op{"values", ir::attrs_info<ValuesAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 0);
             const ValuesAttrs& a = view.attrs_as<ValuesAttrs>();
             ir::expect(view, a.values.size() > 0, "expected at least one value");
             for (double x : a.values)
               ir::expect(view, std::isfinite(static_cast<float>(x)), "expected finite values");
             Type t(DType::f32, {});
             append_dim(view, t, {a.axis, a.values.size()});
             results.push_back(t);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder{view, out}.whole(view.attrs_as<ValuesAttrs>().axis, "a table of a few numbers");
           }};
  op.no_gradient = kConstant;
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"three", Attrs::of(ValuesAttrs{"rows", {0.5, -3, 1e-3}}), {}});
  };
  return op;
}();

const OpDef kOneHot = [] {
  OpDef op{"one_hot", ir::attrs_info<OneHotAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 1);
             expect_ids(view, 0);
             const OneHotAttrs& a = view.attrs_as<OneHotAttrs>();
             expect_base(view, a.base);
             ir::expect(view, is_float(a.to), "expected a float dtype in 'to'");
             Type t = view.operands[0].with_dtype(a.to);
             append_dim(view, t, {a.axis, a.size});
             results.push_back(t);
           },
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder rules{view, out};
             ir::AxisRule& r = rules.map(view.attrs_as<OneHotAttrs>().axis);
             r.indexed = true;
             r.set_base = [](Attrs& a, int64_t base) { a.as<OneHotAttrs>().base += base; };
             r.set_extent = [](Attrs& a, int64_t extent) { a.as<OneHotAttrs>().size = extent; };
             rules.map_rest();
           }};
  op.no_gradient = "integer operand";
  op.examples = [](std::vector<Example>& out) {
    Type ids(DType::i32, {{"batch", 2}, {"seq", 3}});
    out.push_back({"classes", Attrs::of(OneHotAttrs{"vocab", 7}), {{ids, Fill::kIndex, 7}}});
    out.push_back({"ids outside the piece", Attrs::of(OneHotAttrs{"vocab", 3, 2}), {{ids, Fill::kIndex, 7}}});
  };
  return op;
}();

ValueId full(Builder& b, double value, DType dtype, const AxisList& axes, const IntList& sizes) {
  return b.emit1(kFull, Attrs::of(FullAttrs{value, dtype, axes, sizes}), {});
}
ValueId full_like(Builder& b, double value, ValueId x) {
  ValueId scalar = full(b, value, b.type(x).dtype);
  return b.type(x).rank() == 0 ? scalar : broadcast_like(b, scalar, x);
}
ValueId zeros_like(Builder& b, ValueId x) { return full_like(b, 0, x); }
ValueId iota(Builder& b, Symbol axis, int64_t size, int64_t base, DType dtype) {
  return b.emit1(kIota, Attrs::of(IotaAttrs{axis, size, base, dtype}), {});
}
ValueId one_hot(Builder& b, ValueId ids, Symbol axis, int64_t size, int64_t base, DType to) {
  return b.emit1(kOneHot, Attrs::of(OneHotAttrs{axis, size, base, to}), {ids});
}

ValueId values(Builder& b, Symbol axis, std::span<const double> list) {
  std::vector<ValueId> parts;
  constexpr size_t kMost = static_cast<size_t>(NumberList::capacity());
  for (size_t i = 0; i < list.size(); i += kMost) {
    ValuesAttrs a{axis, {}};
    for (double x : list.subspan(i, std::min(kMost, list.size() - i))) a.values.push_back(x);
    parts.push_back(b.emit1(kValues, Attrs::of(a), {}));
  }
  while (parts.size() > 1) {  // a concat takes sixteen
    std::vector<ValueId> joined;
    for (size_t i = 0; i < parts.size(); i += kMost)
      joined.push_back(concat(b, std::span(parts).subspan(i, std::min(kMost, parts.size() - i)), axis));
    parts = std::move(joined);
  }
  return parts.at(0);
}

}  // namespace hoist::ops
