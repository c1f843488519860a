// The search for the greatest rate, against servers whose capacity is known.
#include "load/search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace hoist::load {
namespace {

TEST(Search, FindsAnyCapacityWithinItsTolerance) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-2.5, 5.5);
  for (int round = 0; round < 500; ++round) {
    const double capacity = std::pow(10, exponent(random));
    RateSearch search({std::pow(10, exponent(random)), 0.05, 1e-3, 1e6});
    int steps = 0;
    while (const auto rate = search.next()) {
      ASSERT_LT(++steps, 60);
      search.observe(*rate, *rate <= capacity);
    }
    EXPECT_LE(search.passed(), capacity);
    EXPECT_GT(search.passed() * 1.05, capacity * 0.999);
    EXPECT_GT(search.failed(), capacity);
  }
}

TEST(Search, EndsAtItsBounds) {
  RateSearch never({1, 0.05, 0.1, 100}), always({1, 0.05, 0.1, 100});
  int steps = 0;
  while (const auto rate = never.next()) {
    never.observe(*rate, false);
    ASSERT_LT(++steps, 20);
  }
  EXPECT_EQ(never.passed(), 0);
  while (const auto rate = always.next()) {
    always.observe(*rate, true);
    ASSERT_LT(++steps, 40);
  }
  EXPECT_EQ(always.passed(), 100);
}

// Measurements are noisy: whatever is observed, it ends, and what it says was observed.
TEST(Search, EndsWhateverIsObserved) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 500; ++round) {
    RateSearch search({1, 0.05, 1e-3, 1e6});
    int steps = 0;
    while (const auto rate = search.next()) {
      ASSERT_LT(++steps, 500);
      search.observe(*rate, random() % 2 == 0);
      if (search.passed() > 0 && search.failed() > 0) {
        EXPECT_LT(search.passed(), search.failed());
      }
    }
  }
}

}  // namespace
}  // namespace hoist::load
