// Log-probabilities of a row of logits: of the token that came next and of the most likely ones, under the
// softmax of the model's own logits (before temperature, penalties and masks). Sums run in double and in
// order of ids, so the same logits give the same bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hoist::decode {

struct TokenLogprob {
  int32_t token = -1;
  double logprob = 0;  // natural logarithm; -inf for a logit of -inf
};

struct StepLogprobs {
  TokenLogprob chosen;
  int64_t rank = 0;               // of the chosen one, from 1 on, in the order of `top`
  std::vector<TokenLogprob> top;  // most likely first, ties to the lower id
};

// Whether there are any: no logit is NaN, and the largest is finite.
bool has_logprobs(std::span<const float> logits);
// `top` of at most logits.size() are listed.
StepLogprobs step_logprobs(std::span<const float> logits, int32_t chosen, int64_t top);

}  // namespace hoist::decode
