// attention: softmax attention over named axes, with grouped queries, its gradient, and its mask.
//
//   q[L..., Q, kv_heads, group, head_dim], k[L..., K, kv_heads, head_dim], v[L..., K, kv_heads, v_dim]
//     -> o[L..., Q, kv_heads, group, v_dim] (dtype of q), lse[L..., Q, kv_heads, group] (f32; f64 for f64)
//
// The axes of the five roles are read off the operand types; L is any number of leading axes, the same in q,
// k, v. q_pos, q_seg: i32, their axes Q and any of L, in order; k_pos, k_seg: the same with K. bias: float,
// its axes any of (L..., kv_heads, group, Q, K), in order. sinks: float [kv_heads, group].
//
// Score of a pair: s = scale * q.k; softcap c > 0: s = c * tanh(s / c); then + bias. A pair is visible when
// (!causal or k_pos <= q_pos) and (window == 0 or q_pos - k_pos < window) and q_seg == k_seg; others do not
// exist. A sink is one more logit per head, in the denominator only (and in lse). A row that sees no key: o =
// 0, and lse = -inf (with sinks: the sink). Scores, probabilities and sums are f32 (f64 for f64).
//
// A ragged batch of sequences is one flat axis without padding: tokens in the role of queries and, renamed,
// of keys, each with its sequence's number as segment, in rising order. A sequence's results then have the
// bits it has alone.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct AttentionAttrs {
  Symbol q_axis, k_axis;  // Q and K
  bool causal = true;
  int64_t window = 0;  // 0: unlimited
  double scale = 1;    // models give 1 / sqrt(head_dim)
  double softcap = 0;  // 0: none
  bool has_segments = false, has_bias = false, has_sinks = false;
  bool has_dlse = false;  // attention_grad only: someone used lse
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("q_axis", self.q_axis);
    v("k_axis", self.k_axis);
    v("causal", self.causal);
    v("window", self.window);
    v("scale", self.scale);
    v("softcap", self.softcap);
    v("has_segments", self.has_segments);
    v("has_bias", self.has_bias);
    v("has_sinks", self.has_sinks);
    v("has_dlse", self.has_dlse);
  }
};

struct AttentionOperands {
  ir::ValueId q, k, v, q_pos, k_pos;
  ir::ValueId q_seg = ir::kNoValue, k_seg = ir::kNoValue;  // both or neither
  ir::ValueId bias = ir::kNoValue, sinks = ir::kNoValue;
};
struct AttentionResults {
  ir::ValueId o, lse;
};

// Fills in q_axis, k_axis and has_* from the operands; the caller sets causal, window, scale and softcap.
// Operand order of the op: q, k, v, q_pos, k_pos, [q_seg, k_seg], [bias], [sinks].
AttentionResults attention(ir::Builder& b, const AttentionOperands& operands, AttentionAttrs attrs);

struct AttentionGradResults {
  ir::ValueId dq, dk, dv;
  ir::ValueId dbias = ir::kNoValue, dsinks = ir::kNoValue;
};
// Operands of attention, then o, lse, do, [dlse]. dq, dk, dv have the types of q, k, v; dbias and dsinks the
// axes of their operands in f32 (f64 for f64). Probabilities are recomputed from lse: nothing of size Q x K
// is kept.
AttentionGradResults attention_grad(ir::Builder& b, const AttentionOperands& operands, ir::ValueId o,
                                    ir::ValueId lse, ir::ValueId d_o, ir::ValueId dlse, AttentionAttrs attrs);

// (q_pos, k_pos, [q_seg, k_seg]) -> f32 [leading axes..., Q, K]: 0 where visible, -inf elsewhere. The leading
// axes are those of the operand that has most; the others' must be a subset, in order. Uses q_axis, k_axis,
// causal, window and has_segments.
ir::ValueId attention_mask(ir::Builder& b, std::span<const ir::ValueId> operands,
                           const AttentionAttrs& attrs);

// The axes by role, for kernels and passes. `operands` begin with q, k, v; types must have passed infer.
struct AttentionRoles {
  int lead = 0;  // number of leading axes
  ir::Axis q, k, kv_heads, group, head_dim, v_dim;
};
AttentionRoles attention_roles(const ir::Type& q, const ir::Type& k, const ir::Type& v);

// Where each operand sits; -1 when absent. d_o and what follows exist for attention_grad only.
struct AttentionSlots {
  int q_seg = -1, k_seg = -1, bias = -1, sinks = -1;
  int o = -1, lse = -1, d_o = -1, dlse = -1;
  int count = 0;
};
AttentionSlots attention_slots(const AttentionAttrs& attrs, bool grad);

extern const ir::OpDef kAttention, kAttentionGrad, kAttentionMask;

}  // namespace hoist::ops
