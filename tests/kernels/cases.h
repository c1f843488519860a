// Calls of every op that the CPU backend has kernels for, at odd sizes: what fused_test compares with
// ref_table().
#pragma once

#include <string>
#include <vector>

#include "kernels/run_op.h"

namespace hoist::kernels {

struct Case {
  std::string name;
  OpCall call;
  bool rows = true;  // the outermost axis of operand 0 is a map axis that results share
};

// Every case whose floats are of dtype `d` (f32, bf16 or f16).
std::vector<Case> fused_cases(DType d);

// Operands of attention at these sizes; positions are ramps unless `shuffled`.
struct AttentionShape {
  int64_t batch, queries, keys, heads, group, d, dv;
};
OpCall attention_call(DType type, const AttentionShape& s, bool causal, int64_t window, bool segments,
                      bool shuffled, double softcap = 0, bool sinks = false);
// Gradient of the above; o and lse come from the reference kernel.
OpCall attention_grad_call(const OpCall& forward, bool has_dlse);

// A batch for paged attention: token i belongs to sequence seq[i] at position pos[i]. Blocks are scattered
// over the pool, whose unused slots hold `stale`.
OpCall paged_call(DType q_type, DType pool_type, const std::vector<int>& seq, const std::vector<int>& pos,
                  int64_t heads, int64_t group, int64_t d, int64_t dv, int64_t block, int64_t window,
                  double softcap, bool sinks, double stale);

}  // namespace hoist::kernels
