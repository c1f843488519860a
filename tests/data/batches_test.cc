#include "data/batches.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace hoist::data {
namespace {

// Token i is i: a window shows where it begins.
TokenArray ramp(int64_t n) {
  TokenArray tokens(1 << 20);
  for (int32_t i = 0; i < n; ++i) tokens.append(std::span<const int32_t>(&i, 1));
  return tokens;
}

TEST(Permute, IsAPermutationOfEverySize) {
  for (int64_t n : {1, 2, 3, 7, 64, 100, 1000}) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < n; ++i) {
      int64_t x = permute(i, n, 5, 1);
      EXPECT_GE(x, 0);
      EXPECT_LT(x, n);
      EXPECT_TRUE(seen.insert(x).second);
    }
  }
  int same = 0;
  for (int64_t i = 0; i < 1000; ++i) same += permute(i, 1000, 5, 1) == permute(i, 1000, 5, 2);
  EXPECT_LT(same, 20) << "another stream is another order";
}

TEST(Batches, WindowsLieInsideTheTextWithTheirTargets) {
  for (int64_t seq : {1, 4, 16})
    for (int64_t size : {seq + 1, seq + 2, 2 * seq, 2 * seq + 1, int64_t{100}, int64_t{101}})
      for (Sampling sampling : {Sampling::kRandom, Sampling::kEpoch}) {
        if (size < seq + 1) continue;
        const TokenArray tokens = ramp(size);
        Batches batches(tokens, {3, seq}, sampling, 9);
        std::vector<int32_t> ids(static_cast<size_t>(3 * seq)), targets(ids.size());
        for (int64_t step = 0; step < 200; ++step) {
          batches.fill(step, 0, 3, ids.data(), targets.data());
          for (size_t i = 0; i < ids.size(); ++i) {
            EXPECT_EQ(targets[i], ids[i] + 1);
            EXPECT_GE(ids[i], 0);
            EXPECT_LT(targets[i], size);
          }
        }
      }
}

TEST(Batches, AnEpochVisitsEachWindowOnceAndTheNextBeginsElsewhere) {
  const TokenArray tokens = ramp(1003);
  Batches batches(tokens, {1, 10}, Sampling::kEpoch, 3);
  const int64_t n = batches.windows();
  std::set<int32_t> residues;
  int32_t id[10], target[10];
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    std::set<int32_t> starts;
    for (int64_t i = 0; i < n; ++i) {
      batches.fill(epoch * n + i, 0, 1, id, target);
      EXPECT_TRUE(starts.insert(id[0]).second);
    }
    for (int32_t s : starts) EXPECT_EQ((s - *starts.begin()) % 10, 0) << "side by side";
    residues.insert(*starts.begin() % 10);
  }
  EXPECT_GT(residues.size(), 1u);
}

TEST(Batches, RowsDoNotDependOnHowABatchIsCut) {
  const TokenArray tokens = ramp(500);
  Batches batches(tokens, {6, 8}, Sampling::kEpoch, 3);
  std::vector<int32_t> whole(48), part(24), targets(48);
  batches.fill(17, 0, 6, whole.data(), targets.data());
  batches.fill(17, 3, 3, part.data(), targets.data());
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 24));
}

TEST(Batches, TooLittleTextIsRefused) {
  const TokenArray tokens = ramp(8);
  EXPECT_THROW(Batches(tokens, {1, 8}, Sampling::kEpoch, 1), Error);
}

TEST(Evaluation, CountsEveryTokenOnce) {
  for (int64_t size : {2, 9, 16, 17, 18, 100}) {
    const TokenArray tokens = ramp(size);
    std::set<int32_t> predicted;
    int32_t ids[8], targets[8];
    for (int64_t w = 0; w < evaluation_windows(tokens, 8); ++w) {
      evaluation_window(tokens, 8, w, ids, targets);
      for (int32_t t : targets) {
        if (t >= 0) {
          EXPECT_TRUE(predicted.insert(t).second);
        }
      }
    }
    EXPECT_EQ(static_cast<int64_t>(predicted.size()), size - 1);
  }
  EXPECT_EQ(evaluation_windows(ramp(1), 8), 0);
}

}  // namespace
}  // namespace hoist::data
