// StepCost: pieces of a prompt cost what the whole does, and a fit finds the coefficients that made the
// measurements.
#include "sched/step_cost.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace hoist::sched {
namespace {

TEST(StepCost, PairsOfPiecesAddUp) {
  CounterRng rng(1, 2);
  for (uint64_t n = 0; n < 200; ++n) {
    const int64_t tokens = 1 + static_cast<int64_t>(rng.below(n, 500));
    StepLoad whole, pieces;
    whole.add_prefill(tokens, 0);
    for (int64_t at = 0; at < tokens;) {
      const int64_t piece = std::min<int64_t>(
          tokens - at, 1 + static_cast<int64_t>(rng.below(1000 * n + static_cast<uint64_t>(at) + 1000, 64)));
      pieces.add_prefill(piece, at);
      at += piece;
    }
    EXPECT_EQ(whole.prefill_tokens, pieces.prefill_tokens);
    EXPECT_DOUBLE_EQ(whole.prefill_pairs, pieces.prefill_pairs);
  }
}

TEST(StepCost, PromptSecondsAreThoseOfItsSteps) {
  const StepCost cost{0.01, 1e-3, 1e-6, 2e-3, 1e-7};
  for (int64_t step : {1, 7, 64, 1000})
    for (int64_t tokens : {1, 6, 7, 8, 63, 64, 65, 500})
      for (int64_t before : {0, 1, 5}) {
        double sum = 0;
        for (int64_t at = before; at < tokens; at += step) {
          StepLoad l;
          l.add_prefill(std::min(step, tokens - at), at);
          sum += cost.seconds(l);
        }
        EXPECT_NEAR(cost.prompt_seconds(tokens, before, step), sum, 1e-12) << tokens << " by " << step;
      }
}

std::vector<StepSample> measured(const StepCost& truth, double noise, uint64_t seed) {
  CounterRng rng(seed, 0);
  std::vector<StepSample> out;
  for (uint64_t i = 0; i < 300; ++i) {
    StepSample s;
    if (i % 3 != 0)
      for (uint64_t r = 0, n = 1 + rng.below(8 * i, 16); r < n; ++r)
        s.load.add_decode(1 + static_cast<int64_t>(rng.below(1000 * i + r, 2000)));
    if (i % 3 != 1)
      s.load.add_prefill(1 + static_cast<int64_t>(rng.below(8 * i + 1, 512)),
                         static_cast<int64_t>(rng.below(8 * i + 2, 2000)));
    s.seconds = truth.seconds(s.load) * (1 + noise * rng.normal(8 * i + 3));
    out.push_back(s);
  }
  return out;
}

TEST(StepCost, FitFindsWhatMadeTheSamples) {
  const StepCost truth{0.02, 1e-4, 2e-8, 4e-5, 6e-7};
  const auto samples = measured(truth, 0, 3);
  const StepCost fit = fit_step_cost(samples);
  EXPECT_NEAR(fit.fixed, truth.fixed, 1e-6 * truth.fixed);
  EXPECT_NEAR(fit.prefill_token, truth.prefill_token, 1e-6 * truth.prefill_token);
  EXPECT_NEAR(fit.prefill_pair, truth.prefill_pair, 1e-5 * truth.prefill_pair);
  EXPECT_NEAR(fit.decode_row, truth.decode_row, 1e-4 * truth.decode_row);
  EXPECT_NEAR(fit.context_token, truth.context_token, 1e-4 * truth.context_token);
  EXPECT_LT(relative_error(fit, samples), 1e-8);
}

TEST(StepCost, FitIsNeverNegativeAndBeatsTheTruthOnNoise) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const StepCost truth{seed % 2 ? 0.0 : 0.02, 1e-4, 0, 4e-5, seed % 3 ? 6e-7 : 0.0};
    const auto samples = measured(truth, 0.05, seed);
    const StepCost fit = fit_step_cost(samples);
    for (double c : {fit.fixed, fit.prefill_token, fit.prefill_pair, fit.decode_row, fit.context_token})
      EXPECT_GE(c, 0);
    EXPECT_LT(relative_error(fit, samples), 0.06);
  }
}

TEST(StepCost, FitOfFewSamplesIsStillOne) {
  StepSample one;
  one.load.add_decode(10);
  one.seconds = 0.5;
  EXPECT_NEAR(fit_step_cost({&one, 1}).seconds(one.load), 0.5, 1e-9);
}

TEST(StepCost, PresetsAreSound) {
  for (const CostPreset& p : cost_presets()) {
    EXPECT_EQ(find_cost_preset(p.name), &p);
    EXPECT_GT(p.cost.row_seconds(1), 0) << p.name;
    EXPECT_GT(p.cache_tokens, 0);
  }
  EXPECT_EQ(find_cost_preset("none"), nullptr);
}

}  // namespace
}  // namespace hoist::sched
