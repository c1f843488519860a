// What the simulator's tests share: short ways to name a policy, a workload and a machine.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "sched/workload.h"
#include "sim/simulator.h"

namespace hoist::sim {

inline ServeResult run(const std::string& policy, const Machine& m, const std::vector<sched::Request>& trace,
                       const Observer* observer = nullptr) {
  auto p = sched::make_policy(sched::parse_policy(policy, "test"), m.cost);
  return simulate(m, *p, trace, observer);
}

inline double mean_latency(const ServeResult& r) {
  double sum = 0;
  for (const RequestResult& q : r.requests) sum += q.latency();
  return sum / static_cast<double>(r.requests.size());
}

inline double latency_quantile(const ServeResult& r, double share) {
  std::vector<double> all;
  for (const RequestResult& q : r.requests) all.push_back(q.latency());
  std::sort(all.begin(), all.end());
  return all[std::min(all.size() - 1, static_cast<size_t>(share * static_cast<double>(all.size())))];
}

// A machine whose steps take a second each whatever is in them.
inline Machine even_machine(int64_t max_seqs) {
  Machine m;
  m.limits.max_seqs = max_seqs;
  m.limits.step_tokens = 1 << 20;
  m.cost.fixed = 1;
  m.device_blocks = int64_t{1} << 40;
  return m;
}

}  // namespace hoist::sim
