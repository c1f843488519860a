// Thinning and smoothing keep their promises on random curves; axes mark round values within their range.
#include "report/curve.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "report/axis.h"
#include "report/text.h"

namespace hoist::report {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> random_curve(std::mt19937_64& random, size_t n, double missing) {
  std::vector<double> y(n);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (double& v : y) {
    v = std::exp(40 * (uniform(random) - 0.5)) * (uniform(random) < 0.3 ? -1 : 1);
    if (uniform(random) < missing) v = uniform(random) < 0.5 ? kNan : INFINITY;
  }
  return y;
}

TEST(Thin, KeepsEndsAndExtremesInOrder) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 400; ++round) {
    const size_t n = random() % 3000, limit = 4 + random() % 300;
    const std::vector<double> y = random_curve(random, n, round % 3 ? 0.2 : 0);
    const std::vector<size_t> kept = thin(y, limit);
    ASSERT_LE(kept.size(), limit);
    ASSERT_TRUE(n > limit || kept.size() == n);
    ASSERT_TRUE(std::adjacent_find(kept.begin(), kept.end(), std::greater_equal<>()) == kept.end());
    if (n == 0) continue;
    EXPECT_EQ(kept.front(), 0u);
    EXPECT_EQ(kept.back(), n - 1);
    double low = INFINITY, high = -INFINITY, kept_low = INFINITY, kept_high = -INFINITY;
    for (double v : y)
      if (std::isfinite(v)) low = std::min(low, v), high = std::max(high, v);
    for (size_t i : kept)
      if (std::isfinite(y[i])) kept_low = std::min(kept_low, y[i]), kept_high = std::max(kept_high, y[i]);
    EXPECT_EQ(low, kept_low);
    EXPECT_EQ(high, kept_high);
  }
}

// What lies between two kept points stays within the extremes of the points around them: the picture's
// outline.
TEST(Thin, KeepsTheOutline) {
  std::mt19937_64 random(8);
  const std::vector<double> y = random_curve(random, 50000, 0);
  const std::vector<size_t> kept = thin(y, 2000);
  for (size_t k = 1; k < kept.size(); ++k) {
    double low = INFINITY, high = -INFINITY;
    for (size_t j = k < 3 ? 0 : k - 3; j < std::min(kept.size(), k + 3); ++j)
      low = std::min(low, y[kept[j]]), high = std::max(high, y[kept[j]]);
    for (size_t i = kept[k - 1]; i <= kept[k]; ++i) {
      ASSERT_GE(y[i], low);
      ASSERT_LE(y[i], high);
    }
  }
}

TEST(Smooth, IsTheMeanOfAWindow) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 100; ++round) {
    const size_t n = 1 + random() % 200, window = 1 + random() % 50, half = window / 2;
    std::vector<double> y(n);
    for (double& v : y) v = static_cast<double>(random() % 1000);
    y[random() % n] = kNan;
    const std::vector<double> s = smooth(y, window);
    ASSERT_EQ(s.size(), n);
    for (size_t i = 0; i < n; ++i) {
      double sum = 0, count = 0;
      for (size_t j = 0; j < n; ++j)
        if (j + half >= i && j <= i + std::min(half, i) && !std::isnan(y[j])) sum += y[j], ++count;
      if (count == 0)
        EXPECT_TRUE(std::isnan(s[i]));
      else
        EXPECT_NEAR(s[i], sum / count, 1e-9 * std::abs(sum));
    }
  }
}

TEST(Smooth, KeepsConstantsAndTheFirstValue) {
  for (double v : smooth(std::vector<double>(100, 2.5), 21)) EXPECT_DOUBLE_EQ(v, 2.5);
  EXPECT_DOUBLE_EQ(smooth({10, 5, 3, 2, 1}, 5)[0], 10);
  EXPECT_TRUE(smooth({}, 5).empty());
}

void expect_sound(const Axis& axis, double low, double high) {
  SCOPED_TRACE(::testing::Message() << low << " to " << high << (axis.logarithmic ? " log" : ""));
  EXPECT_LT(axis.low, axis.high);
  for (double v : {low, high}) {
    EXPECT_GE(axis.place(v), -1e-9);
    EXPECT_LE(axis.place(v), 1 + 1e-9);
  }
  EXPECT_GE(axis.ticks.size(), 1u);
  EXPECT_LE(axis.ticks.size(), 9u);
  for (size_t i = 0; i < axis.ticks.size(); ++i) {
    EXPECT_GE(axis.place(axis.ticks[i].value), -1e-6);
    EXPECT_LE(axis.place(axis.ticks[i].value), 1 + 1e-6);
    EXPECT_LE(axis.ticks[i].label.size(), 12u) << axis.ticks[i].label;
    if (i) {
      EXPECT_LT(axis.ticks[i - 1].value, axis.ticks[i].value);
      EXPECT_NE(axis.ticks[i - 1].label, axis.ticks[i].label);
    }
  }
}

TEST(Axis, MarksRoundValuesOfAnyRange) {
  std::mt19937_64 random(10);
  std::uniform_real_distribution<double> power(-90, 90), near(-3, 3);
  for (int round = 0; round < 2000; ++round) {
    double low = std::pow(10, power(random)), high = std::pow(10, power(random));
    if (round % 2) low = std::pow(10, near(random)), high = low * std::pow(10, near(random));
    if (round % 7 == 0) high = low;
    if (low > high) std::swap(low, high);
    expect_sound(linear_axis(low, high, round % 3 == 0), low, high);
    expect_sound(logarithmic_axis(low, high), low, high);
    expect_sound(linear_axis(-high, -low, false), -high, -low);
    const double first = static_cast<double>(random() % 1000),
                 last = first + static_cast<double>(random() >> (12 + random() % 50));
    expect_sound(step_axis(first, last), first, last);
  }
  expect_sound(linear_axis(0, 0, true), 0, 0);
  expect_sound(linear_axis(0, 0, false), 0, 0);
}

std::string labels(const Axis& axis) {
  std::string all;
  for (const Tick& tick : axis.ticks) all += (all.empty() ? "" : " ") + tick.label;
  return all;
}

TEST(Axis, LabelsReadWell) {
  EXPECT_EQ(labels(step_axis(0, 2000)), "0 500 1000 1500 2000");
  EXPECT_EQ(labels(step_axis(0, 100000)), "0 20k 40k 60k 80k 100k");
  EXPECT_EQ(labels(linear_axis(0, 6e-4, true)), "0 1e-4 2e-4 3e-4 4e-4 5e-4 6e-4");
  EXPECT_EQ(labels(linear_axis(1.5, 4.2, false)), "1.5 2.0 2.5 3.0 3.5 4.0");
  EXPECT_EQ(labels(logarithmic_axis(0.1, 1000)), "0.1 1 10 100 1000");
  EXPECT_EQ(labels(logarithmic_axis(0.6, 8.7)), "1 2 5");
  EXPECT_EQ(labels(logarithmic_axis(1.5, 4.2)), "1.5 2.0 2.5 3.0 3.5 4.0");
}

TEST(Text, NumbersReadWell) {
  EXPECT_EQ(value(1.88123), "1.8812");
  EXPECT_EQ(value(6e-4), "6e-4");
  EXPECT_EQ(value(0.0022361), "2.236e-3");
  EXPECT_EQ(value(0.05), "0.05");
  EXPECT_EQ(value(-12.3456), "-12.346");
  EXPECT_EQ(value(123.45), "123.5");
  EXPECT_EQ(value(1234567.8), "1,234,568");
  EXPECT_EQ(value(1e15), "1e15");
  EXPECT_EQ(value(0), "0");
  EXPECT_EQ(value(kNan), value(INFINITY));
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(duration(8.26), "8.3 s");
  EXPECT_EQ(duration(59.97), "1 min 00 s");
  EXPECT_EQ(duration(192), "3 min 12 s");
  EXPECT_EQ(duration(7500), "2 h 05 min");
  EXPECT_EQ(duration(-1), duration(kNan));
  EXPECT_EQ(clock(36.4), "0:36");
  EXPECT_EQ(clock(3727), "1:02:07");
  EXPECT_EQ(clock(kNan), duration(kNan));
}

TEST(Text, EscapesWhatHtmlReads) {
  EXPECT_EQ(escape("<a b=\"c\" d='e'>&amp;"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;");
  EXPECT_EQ(escape(std::string("a\0b\x1b\tc\n", 7)),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\tc\n");
  EXPECT_EQ(escape("ä日本語🙂"), "ä日本語🙂");
}

}  // namespace
}  // namespace hoist::report
