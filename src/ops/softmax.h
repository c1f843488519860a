// Softmax and log-sum-exp over one axis, which may lie anywhere in x.
//
// Statistics are f32 (f64 for f64 operands). Minus infinity is a legal input: a row of nothing else has
// log-sum-exp -inf and softmax 0.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct SoftmaxAttrs {
  Symbol axis;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
  }
};

// x [.., axis, ..] -> the same type.
ir::ValueId softmax(ir::Builder& b, ir::ValueId x, Symbol axis);
// y = softmax(x), dy -> dx = y * (dy - sum(y * dy)).
ir::ValueId softmax_grad(ir::Builder& b, ir::ValueId y, ir::ValueId dy, Symbol axis);
// x [.., axis, ..] -> f32 [.., ..]: log(sum(exp(x))).
ir::ValueId log_sum_exp(ir::Builder& b, ir::ValueId x, Symbol axis);

extern const ir::OpDef kSoftmax, kSoftmaxGrad, kLogSumExpOp;

}  // namespace hoist::ops
