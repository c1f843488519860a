// Elementwise ops. Binary ops broadcast by axis name: one operand's axes must be a subset, in the same order,
// of the other's. Every axis is `map`; sub-f32 floats are computed in f32 and rounded once.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

using ir::Builder;
using ir::ValueId;

// ---- unary: x [any] -> [any], same dtype ----
ValueId neg(Builder& b, ValueId x);
ValueId exp(Builder& b, ValueId x);
ValueId log(Builder& b, ValueId x);
ValueId sqrt(Builder& b, ValueId x);
ValueId rsqrt(Builder& b, ValueId x);
ValueId reciprocal(Builder& b, ValueId x);
ValueId square(Builder& b, ValueId x);
ValueId tanh(Builder& b, ValueId x);
ValueId erf(Builder& b, ValueId x);
ValueId sigmoid(Builder& b, ValueId x);
ValueId relu(Builder& b, ValueId x);
ValueId is_finite(Builder& b, ValueId x);  // 1 or 0

struct AffineAttrs {
  double scale = 1, shift = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("scale", self.scale);
    v("shift", self.shift);
  }
};
ValueId affine(Builder& b, ValueId x, double scale, double shift = 0);  // scale * x + shift

struct CastAttrs {
  DType to = DType::f32;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("to", self.to);
  }
};
// Any dtype to any. Floats round to nearest; a float becomes an integer by dropping its fraction, saturating,
// NaN giving 0. The identity (no op) when x already has that type.
ValueId cast(Builder& b, ValueId x, DType to);

// ---- binary ----
ValueId add(Builder& b, ValueId x, ValueId y);
ValueId sub(Builder& b, ValueId x, ValueId y);
ValueId mul(Builder& b, ValueId x, ValueId y);
ValueId div(Builder& b, ValueId x, ValueId y);
ValueId maximum(Builder& b, ValueId x, ValueId y);
ValueId minimum(Builder& b, ValueId x, ValueId y);
ValueId greater_equal(Builder& b, ValueId x, ValueId y);  // 1 or 0 in x's dtype
ValueId equal(Builder& b, ValueId x, ValueId y);          // 1 or 0 in f32, also for i32 operands

// cond, x, y all of the same axes: cond != 0 ? x : y.
ValueId select(Builder& b, ValueId cond, ValueId x, ValueId y);

// Sums `x` over the axes that `like` lacks: the gradient of broadcasting.
ValueId reduce_to(Builder& b, ValueId x, const ir::Type& like);

extern const ir::OpDef kNeg, kExp, kLog, kSqrt, kRsqrt, kReciprocal, kSquare, kTanh, kErf, kSigmoid, kRelu,
    kIsFinite, kAffine, kCast, kAdd, kSub, kMul, kDiv, kMaximum, kMinimum, kGreaterEqual, kEqual, kSelect;

}  // namespace hoist::ops
