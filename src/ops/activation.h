// Activation functions, elementwise: x [any] -> the same type, computed in f32 (f64 for f64) and rounded
// once.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

ir::ValueId silu(ir::Builder& b, ir::ValueId x);  // x * sigmoid(x)
ir::ValueId gelu_tanh(ir::Builder& b,
                      ir::ValueId x);                 // x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
ir::ValueId gelu_erf(ir::Builder& b, ir::ValueId x);  // x / 2 * (1 + erf(x / sqrt(2)))

// x, dy -> dx, all of one type.
ir::ValueId silu_grad(ir::Builder& b, ir::ValueId x, ir::ValueId dy);
ir::ValueId gelu_tanh_grad(ir::Builder& b, ir::ValueId x, ir::ValueId dy);
ir::ValueId gelu_erf_grad(ir::Builder& b, ir::ValueId x, ir::ValueId dy);

extern const ir::OpDef kSilu, kGeluTanh, kGeluErf, kSiluGrad, kGeluTanhGrad, kGeluErfGrad;

}  // namespace hoist::ops
