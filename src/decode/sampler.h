// Sampler: from one row of logits to a token. A pure function of the logits, the parameters, the tokens so
// far and the position, so that a sequence draws the same tokens whatever shares its batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hoist::decode {

struct SamplingParams {
  double temperature = 0;     // 0: the largest logit, ties to the lower id
  int64_t top_k = 0;          // 0: all
  double top_p = 1;           // smallest set of tokens whose probabilities reach this
  double min_p = 0;           // drop tokens below this share of the most likely one
  double repeat_penalty = 1;  // > 1 makes tokens already seen less likely (Keskar et al., CTRL, 2019)
  uint64_t seed = 0;
  // Throws Error naming the field.
  void check() const;
};

// Returned for a row that has no usable logits (NaN, or nothing finite): that sequence fails, alone.
constexpr int32_t kNoToken = -1;

class Sampler {
 public:
  // `seen`: prompt and generated tokens, for the repeat penalty. `index`: how many tokens were generated
  // before.
  int32_t sample(std::span<const float> logits, std::span<const int32_t> seen, const SamplingParams& params,
                 int64_t index);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  std::vector<Candidate> candidates_;  // kept between calls: no allocation after the first
  std::vector<uint8_t> marked_;
};

}  // namespace hoist::decode
