// What a request adds to logits before a token is drawn: a bias on single tokens, and penalties on tokens
// that came before. A pure function of logits, parameters and tokens, like the sampler that calls it.
//
// In this order: logit_bias is added; repeat_penalty divides a positive logit, or multiplies a negative one,
// of every token seen in prompt or answer (Keskar et al., CTRL, 2019); frequency_penalty is subtracted once
// for each time a token was generated, presence_penalty once if it was at all (OpenAI's API; the prompt does
// not count).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hoist::decode {

struct SamplingParams;

class Penalties {
 public:
  static bool needed(const SamplingParams& params);
  // `seen`: prompt and generated tokens, of which the last `generated` were generated. Ids outside the row
  // are left out.
  void apply(std::span<float> logits, std::span<const int32_t> seen, int64_t generated,
             const SamplingParams& params);

 private:
  std::vector<uint32_t> counts_;  // all zero between calls: no allocation after the first
};

}  // namespace hoist::decode
