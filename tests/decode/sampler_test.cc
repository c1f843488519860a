#include "decode/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/rng.h"

namespace hoist::decode {
namespace {

std::vector<float> random_logits(size_t n, uint64_t seed) {
  CounterRng rng(seed, 0);
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(rng.normal(i) * 2);
  return out;
}

TEST(Sampler, TemperatureZeroTakesTheLargestTiesToTheLowerId) {
  Sampler s;
  EXPECT_EQ(s.sample(std::vector<float>{1, 3, 3, 2}, {}, {}, 0), 1);
}

TEST(Sampler, NoUsableRowGivesNoToken) {
  Sampler s;
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(s.sample(std::vector<float>{1, nan, 0}, {}, {}, 0), kNoToken);
  EXPECT_EQ(s.sample(std::vector<float>{-inf, -inf}, {}, {}, 0), kNoToken);
  EXPECT_EQ(s.sample(std::vector<float>{inf, 0}, {}, {}, 0), kNoToken);
  EXPECT_EQ(s.sample(std::vector<float>{-inf, 0}, {}, {}, 0), 1);
}

// Draws follow the softmax of the logits over what the filters keep.
TEST(Sampler, FrequenciesFollowTheFilteredSoftmax) {
  const std::vector<float> logits = random_logits(12, 5);
  struct Row {
    SamplingParams params;
    std::function<bool(const std::vector<double>& sorted, double p, size_t rank)> kept;
  };
  std::vector<Row> rows;
  SamplingParams p;
  p.temperature = 0.9;
  rows.push_back({p, [](auto&, double, size_t) { return true; }});
  p.top_k = 4;
  rows.push_back({p, [](auto&, double, size_t rank) { return rank < 4; }});
  p.top_k = 0;
  p.top_p = 0.7;
  rows.push_back({p, [](const std::vector<double>& sorted, double, size_t rank) {
                    double before = 0;
                    for (size_t i = 0; i < rank; ++i) before += sorted[i];
                    return before < 0.7;
                  }});
  p.top_p = 1;
  p.min_p = 0.2;
  rows.push_back(
      {p, [](const std::vector<double>& sorted, double q, size_t) { return q >= 0.2 * sorted[0]; }});
  for (const Row& row : rows) {
    std::vector<double> prob(logits.size());
    double total = 0;
    for (size_t i = 0; i < logits.size(); ++i)
      total += prob[i] = std::exp(static_cast<double>(logits[i]) / row.params.temperature);
    for (double& q : prob) q /= total;
    std::vector<double> sorted = prob;
    std::sort(sorted.rbegin(), sorted.rend());
    double kept = 0;
    std::vector<double> want(prob.size(), 0);
    for (size_t i = 0; i < prob.size(); ++i) {
      size_t rank =
          static_cast<size_t>(std::count_if(prob.begin(), prob.end(), [&](double q) { return q > prob[i]; }));
      if (row.kept(sorted, prob[i], rank)) kept += want[i] = prob[i];
    }
    std::map<int32_t, int> count;
    Sampler s;
    constexpr int kDraws = 20000;
    for (int i = 0; i < kDraws; ++i) ++count[s.sample(logits, {}, row.params, i)];
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_NEAR(count[static_cast<int32_t>(i)] / static_cast<double>(kDraws), want[i] / kept, 0.015) << i;
  }
}

TEST(Sampler, SameSeedSameTokensAndEachPositionItsOwn) {
  const std::vector<float> logits = random_logits(50, 9);
  SamplingParams p;
  p.temperature = 1;
  p.seed = 77;
  Sampler a, b;
  int differ = 0;
  for (int i = 0; i < 64; ++i) {
    int32_t x = a.sample(logits, {}, p, i);
    EXPECT_EQ(x, b.sample(logits, {}, p, i));
    differ += x != a.sample(logits, {}, p, i + 1);
  }
  EXPECT_GT(differ, 16);
}

TEST(Sampler, RepeatPenaltyMovesSeenTokensDown) {
  Sampler s;
  SamplingParams p;
  p.repeat_penalty = 2;
  const std::vector<int32_t> seen{0, 0, -5, 99};
  EXPECT_EQ(s.sample(std::vector<float>{3, 2, 0}, seen, p, 0), 1);
  EXPECT_EQ(s.sample(std::vector<float>{-1, -1.5, -9}, seen, p, 0), 1) << "a negative logit is multiplied";
}

TEST(Sampler, BadParametersAreNamed) {
  auto message = [](auto change) {
    SamplingParams p;
    change(p);
    try {
      p.check();
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_TRUE(message([](auto& p) { p.temperature = -1; }).starts_with("temperature: found -1"));
  EXPECT_TRUE(message([](auto& p) { p.temperature = std::nan(""); }).starts_with("temperature: found"));
  EXPECT_TRUE(message([](auto& p) { p.top_p = 0; }).starts_with("top_p: found 0"));
  EXPECT_TRUE(message([](auto& p) { p.top_k = -3; }).starts_with("top_k: found -3"));
  EXPECT_TRUE(message([](auto& p) { p.min_p = 1.5; }).starts_with("min_p: found 1.5"));
  EXPECT_TRUE(message([](auto& p) { p.repeat_penalty = 0; }).starts_with("repeat_penalty: found 0"));
}

}  // namespace
}  // namespace hoist::decode
