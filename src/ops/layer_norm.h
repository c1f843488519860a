// Layer normalization over the innermost axis: y = (x - mean) * rstd * gamma + beta, rounded once.
//
// mean and rstd = 1 / sqrt(variance + eps) are f32 (f64 for f64 operands); the variance is the biased one.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct LayerNormAttrs {
  Symbol axis;
  double eps = 1e-5;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("eps", self.eps);
  }
};
struct LayerNormResult {
  ir::ValueId y, mean, rstd;
};
// x [..., axis], gamma [axis], beta [axis] of x's dtype -> y like x, mean and rstd f32 [...].
LayerNormResult layer_norm(ir::Builder& b, ir::ValueId x, ir::ValueId gamma, ir::ValueId beta, Symbol axis,
                           double eps);

struct LayerNormGradAttrs {
  Symbol axis;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
  }
};
struct LayerNormGradResult {
  ir::ValueId dx, dgamma, dbeta;
};
// x, gamma, mean, rstd, dy (like x) -> dx like x; dgamma, dbeta f32 [axis] (f64 for f64 operands).
LayerNormGradResult layer_norm_grad(ir::Builder& b, ir::ValueId x, ir::ValueId gamma, ir::ValueId mean,
                                    ir::ValueId rstd, ir::ValueId dy, Symbol axis);

extern const ir::OpDef kLayerNorm, kLayerNormGrad;

}  // namespace hoist::ops
