#include "models/rope.h"

#include <algorithm>
#include <cmath>

#include "ops/constants.h"
#include "ops/rope.h"

namespace hoist::models {

namespace {

using io::RopeConfig;
using Type = io::RopeConfig::Type;

// theta^(2j/dim), rounded to f32 at each step as transformers rounds it.
float wave(const RopeConfig& c, int64_t j, int64_t dim) {
  const float exponent = static_cast<float>(2 * j) / static_cast<float>(dim);
  return static_cast<float>(std::pow(c.theta, static_cast<double>(exponent)));
}

std::vector<double> longrope(const RopeConfig& c, int64_t dim, int64_t context) {
  const std::vector<double>& factors = context > c.original_max_position ? c.long_factor : c.short_factor;
  std::vector<double> out;
  for (int64_t j = 0; j < dim / 2; ++j)
    out.push_back(1.0f / (static_cast<float>(factors[static_cast<size_t>(j)]) * wave(c, j, dim)));
  return out;
}

// The channel pair whose frequency makes `turns` turns within the original length.
double pair_of(const RopeConfig& c, double turns, int64_t dim) {
  constexpr double kTurn = 6.283185307179586477;
  return static_cast<double>(dim) * std::log(static_cast<double>(c.original_max_position) / (turns * kTurn)) /
         (2 * std::log(c.theta));
}

// Fast pairs keep their frequency, slow ones are divided by the factor, those between are blended.
std::vector<double> yarn(const RopeConfig& c, int64_t dim) {
  double low = pair_of(c, c.beta_fast, dim), high = pair_of(c, c.beta_slow, dim);
  if (c.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dim - 1));
  if (low == high) high += 0.001;
  std::vector<double> out;
  for (int64_t j = 0; j < dim / 2; ++j) {
    const float kept = 1.0f / wave(c, j, dim),
                divided = 1.0f / (static_cast<float>(c.factor) * wave(c, j, dim));
    const float ramp = std::clamp(
        (static_cast<float>(j) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float share = 1 - ramp;  // of the frequency that is kept
    out.push_back(divided * (1 - share) + kept * share);
  }
  return out;
}

}  // namespace

ir::ValueId rope_table(ir::Builder& b, const RopeConfig& c, int64_t dim, int64_t max_position,
                       int64_t context) {
  if (c.type == Type::kLongrope) return ops::values(b, "rope_half", longrope(c, dim, context));
  if (c.type == Type::kYarn) return ops::values(b, "rope_half", yarn(c, dim));
  ops::RopeFrequenciesAttrs a;
  a.dim = dim;
  a.theta = c.theta;
  if (c.type == Type::kDynamic && context > max_position) {
    const double longer = static_cast<double>(context) / static_cast<double>(max_position);
    a.theta *=
        std::pow(c.factor * longer - (c.factor - 1), static_cast<double>(dim) / static_cast<double>(dim - 2));
  }
  if (c.type == Type::kLinear) a.scaling = "linear";
  if (c.type == Type::kLlama3) a.scaling = "llama3";
  if (c.type == Type::kLinear || c.type == Type::kLlama3) a.factor = c.factor;
  a.low = c.low_freq_factor;
  a.high = c.high_freq_factor;
  a.original = static_cast<double>(c.original_max_position);
  return ops::rope_frequencies(b, a);
}

}  // namespace hoist::models
