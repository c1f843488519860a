#include "decode/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hoist::decode {

bool has_logprobs(std::span<const float> logits) {
  float largest = -std::numeric_limits<float>::infinity();
  for (const float x : logits) {
    if (std::isnan(x)) return false;
    largest = std::max(largest, x);
  }
  return std::isfinite(largest);
}

StepLogprobs step_logprobs(std::span<const float> logits, int32_t chosen, int64_t top) {
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - largest);
  const double shift = largest + std::log(sum);
  const auto at = [&](int32_t token) {
    return TokenLogprob{token, static_cast<double>(logits[static_cast<size_t>(token)]) - shift};
  };
  StepLogprobs out;
  out.chosen = at(chosen);
  // A heap of the best so far, the worst of them in front: a vocabulary is large and `top` small.
  const auto before = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  out.rank = 1;
  for (size_t i = 0; i < logits.size(); ++i) out.rank += before(static_cast<int32_t>(i), chosen);
  const size_t count = static_cast<size_t>(std::clamp<int64_t>(top, 0, static_cast<int64_t>(logits.size())));
  std::vector<int32_t> best;
  for (size_t i = 0; i < logits.size() && count > 0; ++i) {
    const int32_t token = static_cast<int32_t>(i);
    if (best.size() == count) {
      if (!before(token, best.front())) continue;
      std::pop_heap(best.begin(), best.end(), before);
      best.pop_back();
    }
    best.push_back(token);
    std::push_heap(best.begin(), best.end(), before);
  }
  std::sort(best.begin(), best.end(), before);
  for (const int32_t token : best) out.top.push_back(at(token));
  return out;
}

}  // namespace hoist::decode
