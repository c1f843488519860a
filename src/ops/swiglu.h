// SwiGLU (Shazeer, "GLU Variants Improve Transformer", 2020): silu(gate) * up, elementwise, rounded once.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

// gate, up of one type -> the same type.
ir::ValueId swiglu(ir::Builder& b, ir::ValueId gate, ir::ValueId up);

struct SwigluGradResult {
  ir::ValueId dgate, dup;
};
// gate, up, dy of one type -> two of that type.
SwigluGradResult swiglu_grad(ir::Builder& b, ir::ValueId gate, ir::ValueId up, ir::ValueId dy);

extern const ir::OpDef kSwiglu, kSwigluGrad;

}  // namespace hoist::ops
