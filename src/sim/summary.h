// From a simulated (or measured) run's requests to the figures people compare.
#pragma once

#include <vector>

#include "sim/simulator.h"

namespace hoist::sim {

// NaN where there is no value. Quantiles interpolate between neighbours.
struct Distribution {
  double mean, p50, p90, p95, p99, max;
};
Distribution distribution(std::vector<double> values);
// `sorted` ascending, not empty; share in [0, 1].
double quantile(const std::vector<double>& sorted, double share);

// Limits on latency; a request meets them when it meets both (joint attainment).
struct Slo {
  double ttft = 0.25, tpot = 0.1;  // seconds
};

struct Summary {
  int64_t requests = 0, refused = 0;
  // Seconds: to the first token, mean gap of those after it, arrival to completion, and that per output
  // token.
  Distribution ttft, tpot, latency, token_latency;
  double attainment = 0;   // share of all requests that met the limits; refused ones did not
  double goodput = 0;      // requests a second that did
  double throughput = 0;   // output tokens a second
  double utilization = 0;  // share of time in steps
};
Summary summarize(const ServeResult& result, const Slo& slo);

}  // namespace hoist::sim
