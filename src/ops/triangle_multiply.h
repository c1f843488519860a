// triangle_multiply: the pair update of protein-fold trunks (Evoformer), a sum over the third corner of a
// triangle.
//
//   outgoing: a[L..., i, k, c], b[L..., j, k, c] -> [L..., i, j, c] = sum_k a[i,k,c] b[j,k,c]
//   incoming: a[L..., k, i, c], b[L..., k, j, c] -> [L..., i, j, c] = sum_k a[k,i,c] b[k,j,c]
//
// Axis names come from the operands; i and j are one tensor's axis in two roles, so one operand is renamed
// before.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct TriangleMultiplyAttrs {
  bool outgoing = true;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("outgoing", self.outgoing);
  }
};

// a and b of one float dtype; so is the result. Accumulates in f32 (f64 for f64).
ir::ValueId triangle_multiply(ir::Builder& b, ir::ValueId x, ir::ValueId y, bool outgoing);

extern const ir::OpDef kTriangleMultiply;

}  // namespace hoist::ops
