// Philox against the known answers of its authors' library (Random123, kat_vectors), and what is drawn with
// it.
#include "base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace hoist {
namespace {

using Words = std::array<uint32_t, 4>;

TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox(0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ull, ~0ull, ~0ull), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // The digits of pi: counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0.
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(StableHash, KnownAnswers) {  // FNV-1a, 64 bits
  EXPECT_EQ(stable_hash(""), 0xcbf29ce484222325ull);
  EXPECT_EQ(stable_hash("a"), 0xaf63dc4c8601ec8cull);
  EXPECT_EQ(stable_hash("foobar"), 0x85944171f73967e8ull);
}

TEST(CounterRng, DependsOnSeedStreamAndIndexOnly) {
  const CounterRng a(1, 2), b(1, 2);
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(a.bits(999 - i), b.bits(999 - i));  // in any order
    seen.insert(a.bits(i));
    seen.insert(CounterRng(2, 2).bits(i));
    seen.insert(CounterRng(1, 3).bits(i));
  }
  EXPECT_EQ(seen.size(), 3000u);
}

constexpr uint64_t kDraws = 200000;

// Bounds are five standard deviations of the estimate; draws are fixed, so this passes always or never.
TEST(CounterRng, UniformMoments) {
  const CounterRng rng(3, stable_hash("uniform"));
  double sum = 0, squares = 0, product = 0, last = 0.5;
  std::vector<int> bins(100, 0);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double x = rng.uniform(i);
    ASSERT_GE(x, 0);
    ASSERT_LT(x, 1);
    sum += x;
    squares += (x - 0.5) * (x - 0.5);
    product += (x - 0.5) * (last - 0.5);
    last = x;
    ++bins[static_cast<size_t>(x * 100)];
  }
  const double n = kDraws;
  EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(squares / n, 1.0 / 12, 5 * std::sqrt(1.0 / 180 / n));
  EXPECT_NEAR(product / n, 0, 5.0 / 12 / std::sqrt(n));
  double chi = 0;
  for (int b : bins) chi += std::pow(b - n / 100, 2) / (n / 100);
  EXPECT_NEAR(chi, 99, 5 * std::sqrt(2.0 * 99));
}

TEST(CounterRng, NormalMoments) {
  const CounterRng rng(3, stable_hash("normal"));
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double x = rng.normal(i);
    ASSERT_TRUE(std::isfinite(x));
    m1 += x;
    m2 += x * x;
    m3 += x * x * x;
    m4 += x * x * x * x;
  }
  const double n = kDraws;
  EXPECT_NEAR(m1 / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(m2 / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(m3 / n, 0, 5 * std::sqrt(15 / n));
  EXPECT_NEAR(m4 / n, 3, 5 * std::sqrt(96 / n));
}

TEST(CounterRng, BelowIsInRangeAndEven) {
  const CounterRng rng(9, 9);
  for (uint64_t n : {1ull, 2ull, 3ull, 7ull, 1000ull, 1ull << 40, ~0ull})
    for (uint64_t i = 0; i < 1000; ++i) ASSERT_LT(rng.below(i, n), n);
  std::vector<int> bins(7, 0);
  for (uint64_t i = 0; i < 70000; ++i) ++bins[rng.below(i, 7)];
  for (int b : bins) EXPECT_NEAR(b, 10000, 5 * std::sqrt(10000.0 * 6 / 7));
}

}  // namespace
}  // namespace hoist
