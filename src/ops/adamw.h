// adamw: one optimizer step of one parameter, and sum_squares, the norm that clipping needs.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct AdamwAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0;
  bool has_master = false;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("beta1", self.beta1);
    v("beta2", self.beta2);
    v("eps", self.eps);
    v("decay", self.decay);
    v("has_master", self.has_master);
  }
};

struct AdamwOperands {
  ir::ValueId p, g;                   // f32|bf16|f16, of one shape (g's dtype may differ)
  ir::ValueId m, v;                   // f32, the same shape: first and second moments
  ir::ValueId lr, step, scale, ok;    // f32 scalars; step counts from 1; ok is 1 or 0
  ir::ValueId master = ir::kNoValue;  // f32, the same shape
};
struct AdamwResults {
  ir::ValueId p, m, v, master = ir::kNoValue;
};

//   g = scale * g;  m' = b1 m + (1-b1) g;  v' = b2 v + (1-b2) g^2
//   p' = p - lr * (m' / (1 - b1^step) / (sqrt(v' / (1 - b2^step)) + eps) + decay * p)
// in f32. With a master, `master` takes the part of p and p' = round(master'). ok == 0: nothing changes,
// whatever g holds. Results p, m, v, master are updated in place.
AdamwResults adamw(ir::Builder& b, const AdamwOperands& operands, AdamwAttrs attrs);

// x [any] -> scalar, the sum of x^2; f32 (f64 for f64). Kernels sum fixed blocks of 4096 elements in index
// order, and the blocks' sums in order.
ir::ValueId sum_squares(ir::Builder& b, ir::ValueId x);

extern const ir::OpDef kAdamw, kSumSquares;

}  // namespace hoist::ops
