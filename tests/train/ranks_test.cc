// The same run on one rank and on four, however the work is split.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "support.h"

namespace hoist::train {
namespace {

// Full length by HOIST_RANK_STEPS=2000; a shorter run shows the same in seconds.
int steps() {
  const char* text = std::getenv("HOIST_RANK_STEPS");
  return text ? std::atoi(text) : 40;
}

double worst_relative(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]) / std::abs(static_cast<double>(a[i])));
  return worst;
}

TEST(Ranks, FourRanksTrainLikeOne) {
  TemporaryFolder tmp;
  Recipe one = character_recipe(tmp.path() + "/one");
  one.threads = 1;
  const std::vector<float> want = losses(one, steps());
  EXPECT_LT(want.back(), want.front());
  struct Split {
    int data, tensor;
  };
  for (Split split : {Split{4, 1}, Split{1, 4}, Split{2, 2}}) {
    Recipe r = one;
    r.data = split.data;
    r.tensor = split.tensor;
    r.folder = tmp.path() + "/" + std::to_string(split.data) + "x" + std::to_string(split.tensor);
    double worst = worst_relative(want, losses(r, steps()));
    std::printf("%d-way data x %d-way tensor: largest relative difference of %d losses %.1e\n", split.data,
                split.tensor, steps(), worst);
    EXPECT_LE(worst, 1e-4);
  }
}

TEST(Ranks, ThreadsDoNotChangeBits) {
  TemporaryFolder tmp;
  Recipe r = character_recipe(tmp.path() + "/a");
  r.threads = 1;
  const std::vector<float> want = losses(r, 5);
  r.threads = 3;
  r.folder = tmp.path() + "/b";
  EXPECT_EQ(losses(r, 5), want);
}

TEST(Ranks, AccumulatedMicroBatchesEqualOneBatch) {
  TemporaryFolder tmp;
  Recipe r = character_recipe(tmp.path() + "/a");
  const std::vector<float> want = losses(r, 10);
  r.batch = 3;
  r.accumulate = 4;
  r.folder = tmp.path() + "/b";
  EXPECT_LE(worst_relative(want, losses(r, 10)), 1e-4);
}

}  // namespace
}  // namespace hoist::train
