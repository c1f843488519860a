// What the op definitions share: checks of operand types and the dtype of statistics. For src/ops/*.cc only.
#pragma once

#include "ir/graph.h"

namespace hoist::ops {

// The dtype that sums and other statistics of x are kept in: f64 for f64, else f32.
inline DType statistics_dtype(DType d) { return d == DType::f64 ? DType::f64 : DType::f32; }
// x in that dtype.
ir::ValueId widen(ir::Builder& b, ir::ValueId x);

AxisList axes_of(const ir::Type& t);
// Every dim of `small` is in `large`, with the same size and liveness, in the same order.
bool is_subset(const ir::Type& small, const ir::Type& large);

// Each throws Error led by the op's name.
void expect_dense_float(const ir::OpView& view, int operand);
void expect_ids(const ir::OpView& view, int operand);  // dense i32
void expect_axis(const ir::OpView& view, int operand, Symbol axis);
void expect_innermost(const ir::OpView& view, int operand, Symbol axis);
// A dense float tensor of dtype `dtype` and dims `dims`.
void expect_type(const ir::OpView& view, int operand, DType dtype, const ir::Dims& dims);
// The index base of a piece: at most 2^52 either way, so that sums with indices stay exact.
void expect_base(const ir::OpView& view, int64_t base);
// Appends an axis; an Error when the name is taken, the rank or the total size too large.
void append_dim(const ir::OpView& view, ir::Type& t, const ir::Dim& dim);

}  // namespace hoist::ops
