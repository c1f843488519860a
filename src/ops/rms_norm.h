// RMS normalization (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019) over the innermost
// axis.
//
//   rstd = 1 / sqrt(mean(x^2) + eps)        f32 (f64 for f64 operands)
//   y    = cast(x * rstd, x's dtype) * gamma
//   y    = cast(x * rstd * (1 + gamma), x's dtype)    with `offset`
//
// The normalised value is rounded to x's dtype before it meets gamma: the order Hugging Face models
// use. `offset` is Gemma's norm, whose weights are stored less one and which rounds once.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct RmsNormAttrs {
  Symbol axis;
  double eps = 1e-5;
  bool offset = false;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("eps", self.eps);
    v("offset", self.offset);
  }
};
struct RmsNormResult {
  ir::ValueId y, rstd;
};
// x [..., axis], gamma [axis] of x's dtype -> y like x, rstd f32 [...] (saved for the gradient).
RmsNormResult rms_norm(ir::Builder& b, ir::ValueId x, ir::ValueId gamma, Symbol axis, double eps,
                       bool offset = false);

struct RmsNormGradAttrs {
  Symbol axis;
  bool offset = false;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("offset", self.offset);
  }
};
struct RmsNormGradResult {
  ir::ValueId dx, dgamma;
};
// x, gamma, rstd, dy (like x) -> dx like x, dgamma f32 [axis] (f64 for f64 operands).
RmsNormGradResult rms_norm_grad(ir::Builder& b, ir::ValueId x, ir::ValueId gamma, ir::ValueId rstd,
                                ir::ValueId dy, Symbol axis, bool offset = false);

extern const ir::OpDef kRmsNorm, kRmsNormGrad;

}  // namespace hoist::ops
