#include "decode/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace hoist::decode {

void SamplingParams::check() const {
  auto need = [](bool ok, const char* field, double found, const char* expected) {
    if (!ok)
      throw_invalid(std::string(field) + ": found " + std::to_string(found) + ", expected " + expected);
  };
  need(temperature >= 0 && temperature <= 100, "temperature", temperature, "a number from 0 to 100");
  need(top_k >= 0 && top_k <= INT32_MAX, "top_k", static_cast<double>(top_k), "0 (all) or a positive count");
  need(top_p > 0 && top_p <= 1, "top_p", top_p, "a number above 0, at most 1");
  need(min_p >= 0 && min_p <= 1, "min_p", min_p, "a number from 0 to 1");
  need(repeat_penalty > 0 && repeat_penalty <= 100, "repeat_penalty", repeat_penalty,
       "a number above 0, at most 100");
  need(std::fabs(presence_penalty) <= 2, "presence_penalty", presence_penalty, "a number from -2 to 2");
  need(std::fabs(frequency_penalty) <= 2, "frequency_penalty", frequency_penalty, "a number from -2 to 2");
  for (const auto& [token, bias] : logit_bias)
    need(token >= 0 && std::fabs(bias) <= 100, "logit_bias", bias,
         "a number from -100 to 100 for a token id");
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> seen,
                        const SamplingParams& params, int64_t index, std::span<const uint64_t> allowed) {
  const size_t n = logits.size();
  bool nan = false;
  for (const float x : logits) nan |= std::isnan(x);
  if (nan) return kNoToken;
  if (Penalties::needed(params)) {
    changed_.assign(logits.begin(), logits.end());
    penalties_.apply(changed_, seen, index, params);
    logits = changed_;
  }
  candidates_.clear();
  for (size_t i = 0; i < n; ++i)
    if (allowed.empty() || (allowed[i / 64] >> (i % 64) & 1))
      candidates_.push_back({logits[i], static_cast<int32_t>(i)});
  if (candidates_.empty()) return kNoToken;
  // Most likely first; ties to the lower id, so that the order is total.
  auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const Candidate best = *std::min_element(candidates_.begin(), candidates_.end(), before);
  if (!std::isfinite(best.logit)) return kNoToken;
  if (params.temperature == 0) return best.id;

  // What min_p and an all but impossible probability leave out never needs sorting.
  const double t = params.temperature;
  double floor = params.min_p > 0 ? std::log(params.min_p) * t : -60.0 * t;
  auto kept = std::partition(candidates_.begin(), candidates_.end(), [&](const Candidate& c) {
    return static_cast<double>(c.logit) - static_cast<double>(best.logit) >= floor;
  });
  size_t count = static_cast<size_t>(kept - candidates_.begin());
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < count) {
    std::nth_element(candidates_.begin(), candidates_.begin() + params.top_k, kept, before);
    count = static_cast<size_t>(params.top_k);
  }
  std::sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count), before);
  auto weight = [&](size_t i) {
    return std::exp((static_cast<double>(candidates_[i].logit) - static_cast<double>(best.logit)) / t);
  };
  double total = 0;
  for (size_t i = 0; i < count; ++i) total += weight(i);
  if (params.top_p < 1) {
    double sum = 0;
    size_t i = 0;
    while (i < count && sum < params.top_p * total) sum += weight(i++);
    count = std::max<size_t>(i, 1);
    total = sum;
  }
  double u = CounterRng(params.seed, 0x73616d706c6572).uniform(static_cast<uint64_t>(index)) * total;
  for (size_t i = 0; i < count; ++i) {
    u -= weight(i);
    if (u < 0) return candidates_[i].id;
  }
  return candidates_[count - 1].id;
}

}  // namespace hoist::decode
