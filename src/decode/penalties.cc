#include "decode/penalties.h"

#include <algorithm>

#include "decode/sampler.h"

namespace hoist::decode {

bool Penalties::needed(const SamplingParams& p) {
  return p.repeat_penalty != 1 || p.presence_penalty != 0 || p.frequency_penalty != 0 ||
         !p.logit_bias.empty();
}

void Penalties::apply(std::span<float> logits, std::span<const int32_t> seen, int64_t generated,
                      const SamplingParams& p) {
  const auto inside = [&](int32_t t) { return t >= 0 && static_cast<size_t>(t) < logits.size(); };
  for (const auto& [token, bias] : p.logit_bias)
    if (inside(token)) logits[static_cast<size_t>(token)] += static_cast<float>(bias);
  if (counts_.size() < logits.size()) counts_.resize(logits.size());
  const auto clear = [&](std::span<const int32_t> tokens) {
    for (const int32_t t : tokens)
      if (inside(t)) counts_[static_cast<size_t>(t)] = 0;
  };
  if (p.repeat_penalty != 1) {
    const float penalty = static_cast<float>(p.repeat_penalty);
    for (const int32_t t : seen) {
      if (!inside(t) || counts_[static_cast<size_t>(t)]++ > 0) continue;
      float& x = logits[static_cast<size_t>(t)];
      x = x > 0 ? x / penalty : x * penalty;
    }
    clear(seen);
  }
  if (p.presence_penalty == 0 && p.frequency_penalty == 0) return;
  const auto answer =
      seen.last(static_cast<size_t>(std::clamp<int64_t>(generated, 0, static_cast<int64_t>(seen.size()))));
  for (const int32_t t : answer)
    if (inside(t)) ++counts_[static_cast<size_t>(t)];
  for (const int32_t t : answer) {
    if (!inside(t) || counts_[static_cast<size_t>(t)] == 0) continue;
    logits[static_cast<size_t>(t)] -=
        static_cast<float>(p.frequency_penalty * counts_[static_cast<size_t>(t)] + p.presence_penalty);
    counts_[static_cast<size_t>(t)] = 0;
  }
}

}  // namespace hoist::decode
