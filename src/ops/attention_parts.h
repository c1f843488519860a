// What attention.cc and attention_grad.cc share: checks, scores and examples. Not for other files.
#pragma once

#include <vector>

#include "ops/attention.h"
#include "ops/common.h"

namespace hoist::ops::attention_internal {

// [L..., Q, kv_heads, group, K]: the scores of the decompositions (a live Q stays outermost), and
// [L..., kv_heads, group, Q, K]: the axes a bias may have.
ir::Type score_type(const ir::OpView& view);
ir::Type bias_type(const ir::OpView& view);

// Checks the operands that both ops have, and the operand count.
void check_inputs(const ir::OpView& view, const AttentionSlots& slots);
ir::Type output_type(const ir::OpView& view);     // o
ir::Type statistic_type(const ir::OpView& view);  // lse

// Sets q_axis, k_axis and has_*; operands in the op's order.
std::vector<ir::ValueId> gather_operands(ir::Builder& b, const AttentionOperands& in, AttentionAttrs& attrs);

struct Scores {
  ir::ValueId s;                    // scaled, capped, biased and masked
  ir::ValueId tanh = ir::kNoValue;  // of the soft cap
};
Scores scores(ir::Builder& b, const ir::OpView& view, std::span<const ir::ValueId> operands);
// exp(s - lse); zeros where s is -inf, also in rows whose lse is.
ir::ValueId probabilities(ir::Builder& b, ir::ValueId s, ir::ValueId lse);

// The same cases for both ops; attention_grad's have operands for o, lse, do and, in some, dlse.
std::vector<ir::Example> attention_examples(bool grad);

}  // namespace hoist::ops::attention_internal
