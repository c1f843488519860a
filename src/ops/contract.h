// contract: a sum of products over named axes, the op behind every linear layer.
//
//   [tokens, model] x [heads, head_dim, model] -> [tokens, heads, head_dim]
//
// Axes in both operands and the result are batch axes; in both operands only: contracted; in one operand and
// the result: free. An axis in one operand only is an error (reduce it first). Lowered to a (batched) GEMM.
// Accumulates in f32 (f64 for f64 operands); operands may be f32, bf16 or f16 in any mix; the result has
// dtype `to`. y may be weights in panels (ir/type.h, `format`): free axes first, then the contracted ones.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct ContractAttrs {
  AxisList out;  // the result's axes, in order
  DType to = DType::f32;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("out", self.out);
    v("to", self.to);
  }
};

ir::ValueId contract(ir::Builder& b, ir::ValueId x, ir::ValueId y, const AxisList& out, DType to);
// `to` is the dtype of x.
ir::ValueId contract(ir::Builder& b, ir::ValueId x, ir::ValueId y, const AxisList& out);

extern const ir::OpDef kContract;

}  // namespace hoist::ops
