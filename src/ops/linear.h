// linear: contract and what usually follows it in one op, so that results are finished while they are still
// in registers or the first cache:
//
//   y = activation(scale * contract(x, w) + bias);  y = gate_activation(gate) * y;  y = y + residual
//
// all in f32 (f64 for f64), rounded once to `to`. Axes: w's free ones end the result, in w's order, the bias
// has just those, and nothing is a batch axis. passes/fuse makes it; a gated pair, swiglu(x Wg, x Wu),
// becomes the product with Wu finished by the result of the one with Wg.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct LinearAttrs {
  AxisList out;  // and `to`: as contract's
  DType to = DType::f32;
  double scale = 1;
  bool bias = false;       // an operand
  Symbol activation;       // "": none, else "relu", "silu", "gelu_tanh" or "gelu_erf"
  bool gate = false;       // an operand like the result
  Symbol gate_activation;  // as activation; what the gate passes through
  bool residual = false;   // an operand like the result
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("out", self.out);
    v("to", self.to);
    v("scale", self.scale);
    v("bias", self.bias);
    v("activation", self.activation);
    v("gate", self.gate);
    v("gate_activation", self.gate_activation);
    v("residual", self.residual);
  }
};

enum class Activation : uint8_t { kNone, kRelu, kSilu, kGeluTanh, kGeluErf };
// The axes of a bias, if this product can be a linear's.
bool linear_bias(const ir::Type& x, const ir::Type& w, const AxisList& out, ir::Dims* bias);

// False for a name that is none.
bool find_activation(Symbol name, Activation* activation);

// x, w, then of bias, gate and residual those that the attributes ask for. w may be weights in panels.
struct LinearOperands {
  ir::ValueId x, w, bias = ir::kNoValue, gate = ir::kNoValue, residual = ir::kNoValue;
};
ir::ValueId linear(ir::Builder& b, const LinearOperands& operands, const LinearAttrs& attrs);

// Where the optional operands stand; -1: absent.
struct LinearPlaces {
  int8_t bias = -1, gate = -1, residual = -1;
  explicit LinearPlaces(const LinearAttrs& a) {
    int8_t next = 2;
    if (a.bias) bias = next++;
    if (a.gate) gate = next++;
    if (a.residual) residual = next++;
  }
};

extern const ir::OpDef kLinear;

}  // namespace hoist::ops
