// Cross-entropy over the innermost axis, as the two values it is made of: the loss of a row is lse - picked.
//
// Kept apart so that the axis may be split: lse merges by log-sum-exp, picked by sum.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct CrossEntropyAttrs {
  Symbol axis;
  int64_t base = 0;  // the class of the first logit
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("base", self.base);
  }
};
struct CrossEntropyResult {
  ir::ValueId lse, picked;
};
// logits [..., axis], targets i32 [...] -> lse, picked f32 [...] (f64 for f64 logits). picked is the target's
// logit, 0 when the target lies outside [base, base + size).
CrossEntropyResult cross_entropy(ir::Builder& b, ir::ValueId logits, ir::ValueId targets, Symbol axis);
// logits, targets, lse, dlse, dpicked (the last three like lse) -> dlogits like logits:
// exp(logits - lse) * dlse + (index == target) * dpicked.
ir::ValueId cross_entropy_grad(ir::Builder& b, ir::ValueId logits, ir::ValueId targets, ir::ValueId lse,
                               ir::ValueId dlse, ir::ValueId dpicked, Symbol axis, int64_t base = 0);

extern const ir::OpDef kCrossEntropy, kCrossEntropyGrad;

}  // namespace hoist::ops
