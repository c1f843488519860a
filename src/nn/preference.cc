#include "nn/preference.h"

#include "ops/constants.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace hoist::nn {

using ir::Builder;
using ir::ValueId;

ValueId sequence_log_probability(Builder& b, ValueId logits, ValueId targets, Symbol seq, Symbol vocab) {
  const ops::CrossEntropyResult ce = ops::cross_entropy(b, logits, targets, vocab);
  // Ids are far below 2^24: f32 holds them exactly.
  ValueId index = ops::cast(b, targets, b.type(ce.lse).dtype);
  ValueId counts = ops::greater_equal(b, index, ops::zeros_like(b, index));
  return ops::reduce_sum(b, ops::mul(b, ops::sub(b, ce.picked, ce.lse), counts), {seq});
}

PreferenceLoss dpo_loss(Builder& b, const PreferenceOperands& x, double beta) {
  ValueId policy = ops::sub(b, x.policy_chosen, x.policy_rejected);
  ValueId reference = ops::sub(b, x.reference_chosen, x.reference_rejected);
  ValueId margin = ops::affine(b, ops::sub(b, policy, reference), beta);
  // -log sigmoid(margin) = max(z, 0) + log(1 + e^-|z|) with z = -margin: no exponential overflows.
  ValueId z = ops::neg(b, margin), size = ops::maximum(b, z, margin);
  ValueId rest = ops::log(b, ops::affine(b, ops::exp(b, ops::neg(b, size)), 1, 1));
  return {ops::add(b, ops::maximum(b, z, ops::zeros_like(b, z)), rest), margin};
}

}  // namespace hoist::nn
