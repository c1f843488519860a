// Workloads: what they draw has the distribution asked for, depends on seed and number only, and bad text is
// refused by name.
#include "sched/workload.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace hoist::sched {
namespace {

const char* const kForms[] = {"fixed:128",
                              "uniform:16..512",
                              "uniform:1..1",
                              "lognormal:200,1",
                              "lognormal:200,1.25,4..900",
                              "pareto:1.1,8..4096",
                              "pareto:2,1..10",
                              "lognormal:1,0.0000000000000000000000000000000000001,1..2"};

TEST(Lengths, TextReadsBack) {
  for (const char* form : kForms) {
    const Lengths a = parse_lengths(form, "--x"), b = parse_lengths(a.text(), "--x");
    EXPECT_EQ(a.text(), b.text());
    EXPECT_EQ(a.sigma, b.sigma);
    for (double u : {0.0, 0.1, 0.5, 0.9, 0.999}) EXPECT_EQ(a.quantile(u), b.quantile(u)) << form;
  }
}

TEST(Lengths, QuantilesAscendWithinTheRange) {
  for (const char* form : kForms) {
    const Lengths l = parse_lengths(form, "--x");
    double last = l.low;
    for (int i = 0; i <= 1000; ++i) {
      const double q = l.quantile(i / 1000.001);
      EXPECT_GE(q, last) << form;
      EXPECT_LE(q, l.high) << form;
      EXPECT_EQ(q, std::floor(q));
      last = q;
    }
  }
}

TEST(Lengths, DrawsHaveTheMean) {
  for (const char* form : kForms) {
    const Lengths l = parse_lengths(form, "--x");
    CounterRng rng(7, 0);
    double sum = 0, squares = 0;
    constexpr uint64_t kDraws = 100000;
    for (uint64_t i = 0; i < kDraws; ++i) {
      const double x = static_cast<double>(l.draw(rng, i));
      sum += x;
      squares += x * x;
    }
    const double mean = sum / kDraws,
                 error = std::sqrt(std::max(0.0, squares / kDraws - mean * mean) / kDraws);
    EXPECT_NEAR(mean, l.mean(), 5 * error + 1e-3 * mean) << form;
  }
}

TEST(Lengths, ParetoHasItsClosedFormMean) {
  const Lengths l = parse_lengths("pareto:1.1,100..100000", "--x");
  const double a = 1.1, low = 100, high = 100000;
  const double mean = std::pow(low, a) / (1 - std::pow(low / high, a)) * a / (a - 1) *
                      (std::pow(low, 1 - a) - std::pow(high, 1 - a));
  EXPECT_NEAR(l.mean(), mean, 0.01 * mean);
}

TEST(Lengths, LogNormalHasItsMedianAndSetsTheirMeans) {
  EXPECT_EQ(parse_lengths("lognormal:200,1.5", "--x").quantile(0.5), 200);
  EXPECT_NEAR(parse_lengths("lognormal:100,0.5", "--x").mean(), 100 * std::exp(0.125), 0.5);
  const double means[3][2] = {{755.5, 200.3}, {171.3, 98.2}, {1738.3, 90.7}};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(datasets()[i].prompt.mean(), means[i][0], 0.02 * means[i][0]) << datasets()[i].name;
    EXPECT_NEAR(datasets()[i].output.mean(), means[i][1], 0.02 * means[i][1]) << datasets()[i].name;
  }
}

TEST(Lengths, BadTextIsRefusedByName) {
  for (const char* form : {"",
                           "128",
                           "fixed:",
                           "fixed:0",
                           "fixed:1.5",
                           "fixed:1e3",
                           "fixed:99999999",
                           "fixed:nan",
                           "fixed:5 ",
                           "uniform:5",
                           "uniform:9..3",
                           "uniform:1..",
                           "uniform:..5",
                           "uniform:0..5",
                           "lognormal:10",
                           "lognormal:10,",
                           "lognormal:0,1",
                           "lognormal:10,-1",
                           "lognormal:10,11",
                           "lognormal:10,1,5",
                           "pareto:1.1",
                           "pareto:0,1..5",
                           "pareto:-1,1..5",
                           "pareto:1.1,1..5x",
                           "gauss:1"}) {
    try {
      parse_lengths(form, "--output");
      FAIL() << form;
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).rfind("--output: found '" + std::string(form) + "'", 0), 0u)
          << e.what();
    }
  }
  for (const char* form : {"", "gamma", "gamma:", "gamma:0", "gamma:1000", "gamma:2x", "Poisson"})
    EXPECT_THROW(parse_arrivals(form, "--arrivals"), Error) << form;
}

TEST(Workload, ArrivalsHaveRateAndVariation) {
  for (double cv : {0.0, 0.5, 1.0, 2.0, 4.0}) {
    Workload w;
    w.arrivals.cv = cv;
    w.rate = 5;
    w.requests = 100000;
    const auto trace = generate(w);
    double sum = 0, squares = 0, last = 0;
    for (const Request& r : trace) {
      const double gap = r.arrival - last;
      EXPECT_GE(gap, 0);
      sum += gap;
      squares += gap * gap;
      last = r.arrival;
    }
    const double n = static_cast<double>(trace.size()), mean = sum / n;
    EXPECT_NEAR(mean, 0.2, 0.2 * (0.002 + 4 * cv / std::sqrt(n)));
    EXPECT_NEAR(std::sqrt(std::max(0.0, squares / n - mean * mean)) / mean, cv, 0.05 * cv + 1e-4);
  }
}

TEST(Workload, DependsOnSeedAndNumberOnly) {
  Workload w;
  w.prompt = parse_lengths("lognormal:100,1", "");
  w.output = parse_lengths("pareto:1.1,8..4096", "");
  w.tenants = 3;
  w.requests = 500;
  w.seed = 11;
  const auto a = generate(w), again = generate(w);
  w.requests = 100;
  const auto fewer = generate(w);
  w.rate = 10;
  w.arrivals.cv = 3;
  const auto faster = generate(w);
  w.seed = 12;
  const auto other = generate(w);
  size_t same = 0;
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(a[i].arrival, again[i].arrival);
    EXPECT_EQ(a[i].arrival, fewer[i].arrival);
    EXPECT_EQ(a[i].prompt_tokens, faster[i].prompt_tokens);
    EXPECT_EQ(a[i].output_tokens, faster[i].output_tokens);
    EXPECT_EQ(a[i].tenant, faster[i].tenant);
    EXPECT_TRUE(a[i].tenant >= 0 && a[i].tenant < 3);
    same += a[i].prompt_tokens == other[i].prompt_tokens;
  }
  EXPECT_LT(same, 20u);
}

TEST(Workload, KeepsWithinTheContext) {
  Workload w;
  w.prompt = parse_lengths("uniform:1..3000", "");
  w.output = parse_lengths("uniform:1..3000", "");
  w.context = 1024;
  for (const Request& r : generate(w)) {
    EXPECT_GE(r.prompt_tokens, 1);
    EXPECT_GE(r.output_tokens, 1);
    EXPECT_LE(r.output_tokens, r.max_tokens);
    EXPECT_LE(r.prompt_tokens + r.max_tokens, 1024);
  }
}

}  // namespace
}  // namespace hoist::sched
