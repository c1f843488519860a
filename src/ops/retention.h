// retention: linear attention with exponential decay (RetNet), the op whose sequence axis is a scan.
//
//   q, k[L..., S, heads, d], v[L..., S, heads, dv], decay[heads], state[L..., heads, d, dv]
//     -> o[L..., S, heads, dv] (dtype of q), state' (dtype of state)
//   S_0 = state;  S_n = decay * S_{n-1} + k_n^T v_n;  o_n = q_n S_n;  state' = S_last
//
// decay is in (0, 1] per head. state and decay are f32 (f64 when q is f64), and so are the sums. Pieces of S
// run in order, state' of one feeding state of the next. Decomposes to the parallel form, quadratic in S.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct RetentionAttrs {
  Symbol seq_axis;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("seq_axis", self.seq_axis);
  }
};
struct RetentionResults {
  ir::ValueId o, state;
};

// seq_axis is read off q's type.
RetentionResults retention(ir::Builder& b, ir::ValueId q, ir::ValueId k, ir::ValueId v, ir::ValueId decay,
                           ir::ValueId state);

extern const ir::OpDef kRetention;

}  // namespace hoist::ops
