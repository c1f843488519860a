// Losses on pairs of answers, of which one was preferred.
//
// Direct preference optimization: Rafailov et al., "Direct preference optimization: your language model is
// secretly a reward model", NeurIPS 2023. Compositions of ops, so that gradients come from autodiff and axes
// may be split like any others.
#pragma once

#include "ir/graph.h"

namespace hoist::nn {

// The log-probability of each sequence's counted targets: their sum over `seq`. logits [..., seq, vocab] f32
// or f64, targets i32 [..., seq]; a negative target does not count. -> [...] in logits' dtype.
ir::ValueId sequence_log_probability(ir::Builder& b, ir::ValueId logits, ir::ValueId targets, Symbol seq,
                                     Symbol vocab);

struct PreferenceOperands {
  // Log-probabilities, one per pair, all of one type.
  ir::ValueId policy_chosen, policy_rejected, reference_chosen, reference_rejected;
};
struct PreferenceLoss {
  ir::ValueId loss;    // per pair: -log sigmoid(margin)
  ir::ValueId margin;  // beta * ((policy_chosen - policy_rejected) - (reference_chosen - reference_rejected))
};
// Finite for every finite margin. No gradient flows into the reference unless its values depend on a state
// that wants one.
PreferenceLoss dpo_loss(ir::Builder& b, const PreferenceOperands& operands, double beta);

}  // namespace hoist::nn
