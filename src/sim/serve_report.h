// The page that compares policies: one HTML file that needs no network. Latency by percentile for each
// policy, figures against the rate of arrival where several were simulated, a table, and what was simulated.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/summary.h"

namespace hoist::sim {

struct PolicyRun {
  std::string policy;
  double rate = 0;  // requests a second; 0: of a trace
  double load = 0;  // of the machine when its steps are full; 0: unknown
  ServeResult result;
  Summary summary;
};

struct ServeReport {
  std::string title = "Simulated serving";
  Slo slo;
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<PolicyRun> runs;  // by rate, then in the order of the policies
};

std::string render(const ServeReport& report);

}  // namespace hoist::sim
