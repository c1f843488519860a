// Scheduling policies in the real engine and in the simulator, on the same requests.
//
// The engine is driven in real time: requests are added when they arrive, and their answers end after as many
// tokens as the workload drew (which no policy but an oracle is told). The simulator gets the same requests,
// once with the cost of steps measured beforehand on others (a forecast), and once with that of the run's own
// steps: machines with other tenants change from one minute to the next, and a queue near saturation makes
// much of little.
#pragma once

#include <string>
#include <vector>

#include "base/function_ref.h"
#include "bench/row.h"
#include "sched/workload.h"
#include "sim/summary.h"

namespace hoist::bench {

struct PoliciesOptions {
  std::string shape = "gpt2-124m", quant = "q8_0";
  std::string model;                                        // a model folder or file instead
  std::vector<std::string> policies = {"fcfs", "sj-mlfq"};  // sched::parse_policy; the first is compared with
  std::vector<double> loads = {0.9};  // shares of what the machine can do with full steps
  std::string prompt = "lognormal:32,0.5,1..256", output = "pareto:1.1,8..960", arrivals = "poisson";
  int64_t requests = 200, seed = 0;
  int64_t max_seqs = 8, step_tokens = 256, cache_tokens = 0;  // 0: room for all sequences of a step
  int64_t swap_bytes = 0;
  int threads = 0;
};

struct PolicyResult {
  std::string policy;
  double load = 0, rate = 0;
  sim::Summary real, forecast, simulated;
  double real_seconds = 0;
};

struct PoliciesResult {
  sched::StepCost cost;
  double cost_error = 0;  // mean relative error over measured steps
  int64_t cost_samples = 0;
  std::vector<PolicyResult> runs;  // loads by policies
};

// `note` says what is being done; `done` is called with each result. Throws Error naming the flag.
PoliciesResult measure_policies(const PoliciesOptions& options, FunctionRef<void(const std::string&)> note,
                                FunctionRef<void(const PolicyResult&)> done);

// Names policy.mean, policy.p95, policy.p99 (seconds to completion), policy.ttft_p99, and for each
// simulated.mean, simulated.p95, and how many times the measured ones they and the forecast are; "gain" rows
// (policy.mean.gain: how many times better than the first policy's).
std::vector<Row> to_rows(const PoliciesOptions& options, const PoliciesResult& result);

}  // namespace hoist::bench
