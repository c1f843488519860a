// Workloads: requests drawn from distributions, the same for the simulator and for load generators.
//
// Every draw depends only on (seed, what it is for, the request's number): the n-th request is the same
// however many are drawn, and its lengths are the same at any rate of arrival, so that rates compare.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "sched/state.h"

namespace hoist::sched {

enum class LengthKind : uint8_t { kFixed, kUniform, kLogNormal, kPareto };

// A distribution over whole numbers of tokens, at least 1.
struct Lengths {
  LengthKind kind = LengthKind::kFixed;
  double low = 128, high = 128;  // fixed: both alike; others are cut to this range (Pareto is bounded by it)
  double median = 0, sigma = 0;  // lognormal: sigma of the logarithm
  double shape = 0;              // pareto

  double quantile(double u) const;  // u in [0, 1)
  double mean() const;              // of the rounded lengths, by quadrature
  double mean_square() const;
  int64_t draw(const CounterRng& rng, uint64_t index) const;
  std::string text() const;  // reads back by parse_lengths
};

constexpr double kMaxLength = 1 << 24;

// "fixed:128", "uniform:16..512", "lognormal:200,1.0" (median, sigma; or "lognormal:200,1.0,1..4096"),
// "pareto:1.1,8..4096". Throws Error(kInvalidArgument) led by `source`.
Lengths parse_lengths(std::string_view text, const std::string& source);

// Times between arrivals: gamma with shape 1 / cv^2 (cv 1: Poisson arrivals; above: bursts; 0: even).
struct Arrivals {
  double cv = 1;
};
// "poisson", "gamma:4" (the coefficient of variation) or "even".
Arrivals parse_arrivals(std::string_view text, const std::string& source);

// What public sets of requests look like: the mean lengths that the DistServe paper (OSDI'24, section 6.1)
// reports for them, spread as log-normal (the spread is ours), and its limits on latency for the sets.
struct Dataset {
  std::string_view name, what;
  Lengths prompt, output;
  double ttft, tpot;  // seconds
};
std::span<const Dataset> datasets();
const Dataset* find_dataset(std::string_view name);

struct Workload {
  Lengths prompt, output;
  Arrivals arrivals;
  double rate = 1;  // requests per second, positive
  int64_t requests = 1000;
  int64_t context = 0;  // longest prompt and answer together, 0: any; answers are cut to it, then prompts
  int32_t tenants = 1;  // requests fall to them at random, equally often
  uint64_t seed = 0;
};

// By arrival; ids from 0. max_tokens of every request is the longest answer the workload has: what a server
// knows. output_tokens is what will be.
std::vector<Request> generate(const Workload& workload);

// Seconds of the machine that an average request takes when steps are full, max_seqs rows each, which gives
// the rate at which load is 1.
double seconds_per_request(const Workload& workload, const StepCost& cost, const Limits& limits);

}  // namespace hoist::sched
