// Sampler: from one row of logits to a token. A pure function of the logits, the parameters, the tokens so
// far and the position, so that a sequence draws the same tokens whatever shares its batch.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "decode/penalties.h"

namespace hoist::decode {

struct SamplingParams {
  double temperature = 0;  // 0: the largest logit, ties to the lower id
  int64_t top_k = 0;       // 0: all
  double top_p = 1;        // smallest set of tokens whose probabilities reach this
  double min_p = 0;        // drop tokens below this share of the most likely one
  // See penalties.h.
  double repeat_penalty = 1;
  double presence_penalty = 0, frequency_penalty = 0;  // each from -2 to 2
  std::vector<std::pair<int32_t, double>> logit_bias;  // token, -100 to 100; each token once
  uint64_t seed = 0;
  // Throws Error naming the field.
  void check() const;
};

// Returned for a row that has no usable logits (NaN, or nothing finite): that sequence fails, alone.
constexpr int32_t kNoToken = -1;

class Sampler {
 public:
  // `seen`: prompt and generated tokens, for the penalties. `index`: how many tokens were generated before,
  // the last ones of `seen`. `allowed`: a bit a token, id i being bit i % 64 of word i / 64; empty: all.
  int32_t sample(std::span<const float> logits, std::span<const int32_t> seen, const SamplingParams& params,
                 int64_t index, std::span<const uint64_t> allowed = {});

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  std::vector<Candidate> candidates_;  // kept between calls: no allocation after the first
  std::vector<float> changed_;
  Penalties penalties_;
};

}  // namespace hoist::decode
