// The largest elements along an axis, with their indices. Ties go to the lower index; NaN counts as the
// largest.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct ArgMaxAttrs {
  Symbol axis;
  int64_t base = 0;  // added to every index: what a piece of a larger axis is told
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("base", self.base);
  }
};
struct ArgMaxResult {
  ir::ValueId value, index;
};
// x [.., axis, ..] -> value [.., ..] in x's dtype, index i32 [.., ..].
ArgMaxResult arg_max(ir::Builder& b, ir::ValueId x, Symbol axis);

struct TopKAttrs {
  Symbol axis;
  int64_t k = 0;
  Symbol choice_axis;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("k", self.k);
    v("choice_axis", self.choice_axis);
  }
};
struct TopKResult {
  ir::ValueId values, indices;
};
// x [.., axis, ..] -> values [.., choice_axis=k, ..] in descending order, indices i32 of the same axes.
TopKResult top_k(ir::Builder& b, ir::ValueId x, Symbol axis, int64_t k, Symbol choice_axis);

extern const ir::OpDef kArgMaxOp, kTopK;

}  // namespace hoist::ops
