// One step of one parameter by optimizers other than adamw (ops/adamw.h), and what they are made of.
//
// All share adamw's conventions: p is f32|bf16|f16, g any of them, moments are f32 and of p's axes, scalars
// are f32. `scale` multiplies the gradient first. With a master (f32), it takes the part of p and
// p' = round(master'). ok == 0: nothing changes, whatever the gradient holds. Every axis is `map`, so any
// strategy may split a parameter; norms of whole tensors are ops of their own (sum_squares, reduce_sum),
// which merge.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct SgdAttrs {
  double momentum = 0.9, decay = 0;
  bool nesterov = false, has_master = false;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("momentum", self.momentum);
    v("decay", self.decay);
    v("nesterov", self.nesterov);
    v("has_master", self.has_master);
  }
};
struct LionAttrs {
  double beta1 = 0.9, beta2 = 0.99, decay = 0;
  bool has_master = false;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("beta1", self.beta1);
    v("beta2", self.beta2);
    v("decay", self.decay);
    v("has_master", self.has_master);
  }
};
struct MomentumOperands {
  ir::ValueId p, g, m;                // m: f32
  ir::ValueId lr, scale, ok;          // f32 scalars
  ir::ValueId master = ir::kNoValue;  // f32
};
struct MomentumResults {
  ir::ValueId p, m, master = ir::kNoValue;
};

// Stochastic gradient descent with momentum; decay is added to the gradient (L2), as is classical.
//   g = scale * g + decay * p;  m' = momentum * m + g;  p' = p - lr * (nesterov ? g + momentum * m' : m')
MomentumResults sgd(ir::Builder& b, const MomentumOperands& operands, SgdAttrs attrs);

// Chen et al., "Symbolic discovery of optimization algorithms", 2023.
//   g = scale * g;  p' = p - lr * (sign(b1 m + (1-b1) g) + decay * p);  m' = b2 m + (1-b2) g
MomentumResults lion(ir::Builder& b, const MomentumOperands& operands, LionAttrs attrs);

struct LambAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-6, decay = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("beta1", self.beta1);
    v("beta2", self.beta2);
    v("eps", self.eps);
    v("decay", self.decay);
  }
};
struct LambResults {
  ir::ValueId u, m, v;  // u: f32, the direction
};
// The direction of LAMB (You et al., "Large batch optimization for deep learning: training BERT in 76
// minutes", ICLR 2020); what multiplies it, |p| / |u|, needs whole norms and is left to the graph.
//   g = scale * g;  m', v' as adamw;  u = m'^ / (sqrt(v'^) + eps) + decay * p
// with bias corrections. p is the master where there is one. ok == 0: u = 0, m and v stay.
LambResults lamb_direction(ir::Builder& b, ir::ValueId p, ir::ValueId g, ir::ValueId m, ir::ValueId v,
                           ir::ValueId step, ir::ValueId scale, ir::ValueId ok, const LambAttrs& attrs);

struct DescendAttrs {
  double decay = 0;
  bool has_master = false;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("decay", self.decay);
    v("has_master", self.has_master);
  }
};
struct DescendResults {
  ir::ValueId p, master = ir::kNoValue;
};
// p' = p - lr * decay * p - rate * u, with u f32 of p's axes, rate and lr f32 scalars.
DescendResults descend(ir::Builder& b, ir::ValueId p, ir::ValueId u, ir::ValueId rate, ir::ValueId lr,
                       ir::ValueId ok, ir::ValueId master, DescendAttrs attrs);

struct EmaAttrs {
  double decay = 0.999;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("decay", self.decay);
  }
};
// An exponential moving average: e' = e + (1 - decay) * (p - e), e f32 of p's axes; ok == 0: e' = e.
ir::ValueId ema(ir::Builder& b, ir::ValueId e, ir::ValueId p, ir::ValueId ok, const EmaAttrs& attrs);

extern const ir::OpDef kSgd, kLion, kLambDirection, kDescend, kEma;

}  // namespace hoist::ops
