// Batch normalization (Ioffe and Szegedy, "Batch Normalization", 2015): per channel, over every other axis.
//
//   mean = mean(x), rstd = 1 / sqrt(mean((x - mean)^2) + eps)      f32 (f64 for f64 operands)
//   y    = (x - mean) * rstd * gamma + beta
//
// The statistics of an axis that is split merge by moments (count, mean, squares), so ranks that share a
// batch normalize by all of it.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct BatchNormAttrs {
  Symbol axis;  // the channels
  double eps = 1e-5;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("eps", self.eps);
  }
};
struct BatchNormResult {
  ir::ValueId y, mean, rstd;
};
// x with `axis` among its axes, gamma and beta [axis] of x's dtype -> y like x, mean and rstd [axis] (saved
// for the gradient, and for running averages: variance = rstd^-2 - eps).
BatchNormResult batch_norm(ir::Builder& b, ir::ValueId x, ir::ValueId gamma, ir::ValueId beta, Symbol axis,
                           double eps);
// With given statistics (mean and variance [axis] of the statistics' dtype): what a trained network runs.
ir::ValueId batch_norm_inference(ir::Builder& b, ir::ValueId x, ir::ValueId gamma, ir::ValueId beta,
                                 ir::ValueId mean, ir::ValueId variance, Symbol axis, double eps);

struct BatchNormGradAttrs {
  Symbol axis;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
  }
};
struct BatchNormGradResult {
  ir::ValueId dx, dgamma, dbeta;
};
// x, gamma, mean, rstd, dy (like x) -> dx like x, dgamma and dbeta [axis] of the statistics' dtype.
BatchNormGradResult batch_norm_grad(ir::Builder& b, ir::ValueId x, ir::ValueId gamma, ir::ValueId mean,
                                    ir::ValueId rstd, ir::ValueId dy, Symbol axis);

extern const ir::OpDef kBatchNorm, kBatchNormGrad, kBatchNormInference;

}  // namespace hoist::ops
