// A long short-term memory layer (Hochreiter and Schmidhuber, 1997; with forget gates) over a sequence.
//
//   z_t = w x_t + u h_(t-1) + bias          four gates: i, f, g, o
//   c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(c_t)
//
// `seq` scans: pieces run in order, the state (h and c of the last step) is handed on. `batch` is
// independent. Everything else is whole: each step mixes all of it.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct LstmResult {
  ir::ValueId h;      // [seq, batch, hidden]
  ir::ValueId state;  // [state=2, batch, hidden]: h and c after the last step
  ir::ValueId c;      // like h, and
  ir::ValueId gates;  // [seq, batch, gate=4, hidden]: after sigmoid and tanh; both for the gradient
};
// x [seq, batch, in], w [gate=4, hidden, in], u [gate=4, hidden, past] (past as long as hidden), bias
// [gate=4, hidden], state [state=2, batch, hidden]; axis names are the operands', all of one dtype.
LstmResult lstm(ir::Builder& b, ir::ValueId x, ir::ValueId w, ir::ValueId u, ir::ValueId bias,
                ir::ValueId state);

struct LstmGradAttrs {
  bool has_dc = false, has_dgates = false;  // two more operands, like c and gates
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("has_dc", self.has_dc);
    v("has_dgates", self.has_dgates);
  }
};
// x, w, u, state, h, c, gates, dh, dstate (, dc, dgates) -> dx, dw, du, dbias, dstate: the weights' gradients
// in the statistics' dtype.
extern const ir::OpDef kLstm, kLstmGrad;

}  // namespace hoist::ops
