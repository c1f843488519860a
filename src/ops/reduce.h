// Reductions over named axes, and their opposite.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct ReduceAttrs {
  AxisList axes;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axes", self.axes);
  }
};

// x [.., axes, ..] -> [..], summed in index order. f32 sums of 16-bit floats are rounded once at the end.
ir::ValueId reduce_sum(ir::Builder& b, ir::ValueId x, const AxisList& axes);
ir::ValueId reduce_max(ir::Builder& b, ir::ValueId x, const AxisList& axes);
// x -> the axes of `like` (which must contain x's, in order); like's elements are not read.
ir::ValueId broadcast_like(ir::Builder& b, ir::ValueId x, ir::ValueId like);

extern const ir::OpDef kReduceSum, kReduceMax, kBroadcastLike;

}  // namespace hoist::ops
