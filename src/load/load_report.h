// What a run of the load generator leaves: rows for programs, lines for people, and a page of curves.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "load/measure.h"

namespace hoist::load {

struct LoadRun {
  Point point;
  PointSummary summary;
};

struct LoadReport {
  std::string title = "Serving under load";
  std::string shape;  // of the workload, for rows: "poisson prompt=fixed:128 output=fixed:32"
  sim::Slo slo;
  double share = 0.9;   // of the requests that must be within the limits
  double max_rate = 0;  // the greatest rate that keeps it; 0: not searched for, or none
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<LoadRun> runs;  // by rate
};

// [{"name": "serve.ttft.p50", "shape", "rate", "requests", "value", "unit"}, ...]; "value" is null where
// there is none (a percentile of no request).
std::string to_json(const LoadReport& report);
std::string header_line();
std::string to_line(const LoadRun& run);
// One HTML file that needs no network.
std::string render(const LoadReport& report);

}  // namespace hoist::load
