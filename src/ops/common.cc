#include "ops/common.h"

#include "ops/elementwise.h"

namespace hoist::ops {

using ir::OpView;
using ir::Type;

namespace {
std::string operand_name(int i) { return "operand " + std::to_string(i); }
const Type& operand(const OpView& view, int i) { return view.operands[static_cast<size_t>(i)]; }
}  // namespace

ir::ValueId widen(ir::Builder& b, ir::ValueId x) { return cast(b, x, statistics_dtype(b.type(x).dtype)); }

AxisList axes_of(const Type& t) {
  AxisList list;
  for (const ir::Dim& d : t.dims) list.push_back(d.axis);
  return list;
}

bool is_subset(const Type& small, const Type& large) {
  int at = 0;
  for (const ir::Dim& d : small.dims) {
    while (at < large.rank() && !(large.dims[at].axis == d.axis)) ++at;
    if (at == large.rank() || !(large.dims[at] == d)) return false;
    ++at;
  }
  return true;
}

void expect_dense_float(const OpView& view, int i) {
  const Type& t = operand(view, i);
  if (!is_float(t.dtype) || !t.format.empty())
    op_error(view, operand_name(i) + ": expected a dense float tensor");
}

void expect_ids(const OpView& view, int i) {
  const Type& t = operand(view, i);
  if (t.dtype != DType::i32 || !t.format.empty())
    op_error(view, operand_name(i) + ": expected an i32 tensor");
}

void expect_axis(const OpView& view, int i, Symbol axis) {
  if (!operand(view, i).has(axis))
    op_error(view, operand_name(i) + ": expected an axis '" + axis.str() + "'");
}

void expect_innermost(const OpView& view, int i, Symbol axis) {
  const Type& t = operand(view, i);
  if (t.rank() == 0 || !(t.dims.back().axis == axis))
    op_error(view, operand_name(i) + ": expected '" + axis.str() + "' as the innermost axis");
  if (t.dims.back().live) op_error(view, operand_name(i) + ": the innermost axis may not be live");
}

void expect_type(const OpView& view, int i, DType dtype, const ir::Dims& dims) {
  if (!(operand(view, i) == Type(dtype, dims)))
    op_error(view, operand_name(i) + ": expected " + to_string(Type(dtype, dims)));
}

void expect_base(const OpView& view, int64_t base) {
  constexpr int64_t kLimit = int64_t{1} << 52;
  ir::expect(view, base >= -kLimit && base <= kLimit, "base out of range");
}

void append_dim(const OpView& view, Type& t, const ir::Dim& dim) {
  if (dim.axis.empty()) op_error(view, "an axis of the result has no name");
  if (t.has(dim.axis)) op_error(view, "axis '" + dim.axis.str() + "' would appear twice in the result");
  if (t.rank() == ir::Dims::capacity()) op_error(view, "the result has more than 8 axes");
  if (dim.size < 0) op_error(view, "axis '" + dim.axis.str() + "' has a negative size");
  int64_t elements = 0;
  if (__builtin_mul_overflow(t.elements(), dim.size, &elements) || elements > int64_t{1} << 59)
    op_error(view, "the result has more than 2^59 elements");
  t.dims.push_back(dim);
}

}  // namespace hoist::ops
