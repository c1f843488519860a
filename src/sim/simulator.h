// A server in virtual time: the policies and the ledger of sched/, steps that take what a StepCost says, and
// transfers over a link to host memory. Nothing is computed; only time passes.
//
// simulate() runs a trace to its end. Between steps requests arrive and transfers end; the policy then
// decides, and the step begins. The link moves one sequence at a time in each direction, both directions at
// once, beside the steps. Deterministic; single-threaded; the trace's output_tokens say when each request
// ends.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sched/ledger.h"
#include "sched/policy.h"
#include "sched/state.h"

namespace hoist::sim {

struct Machine {
  sched::Limits limits;
  sched::StepCost cost;
  int64_t device_blocks = 4096, host_blocks = 0;
  double kv_token_bytes = 1;        // keys and values of one token
  double link_bytes_second = 16e9;  // each way
};

struct RequestResult {
  sched::Request request;
  sched::Refusal refused = sched::Refusal::kNone;  // then nothing below counts
  double first_token = 0, completion = 0;          // on the clock
  double longest_gap = 0;                          // without a turn, from arrival on
  int64_t preemptions = 0;

  double ttft() const { return first_token - request.arrival; }
  double latency() const { return completion - request.arrival; }
  // Mean gap of the tokens after the first; 0 for a single token.
  double tpot() const {
    return request.output_tokens > 1
               ? (completion - first_token) / static_cast<double>(request.output_tokens - 1)
               : 0;
  }
};

struct ServeResult {
  std::vector<RequestResult> requests;  // in the trace's order
  double seconds = 0;                   // from the first arrival to the last completion
  double busy = 0, stalled = 0;         // in steps; waiting for transfers with work at hand
  int64_t steps = 0, stalls = 0, preemptions = 0, drops = 0, recomputed_tokens = 0;
  int64_t swaps_out = 0, swaps_in = 0;
  double swap_out_bytes = 0, swap_in_bytes = 0;
  int64_t peak_blocks = 0;  // of the device
};

// Called when a decision is made, before it is carried out, and after each step; for tests and timelines.
struct Observer {
  std::function<void(const sched::State&, const sched::Decision&)> decided;
  std::function<void(const sched::Ledger&)> after_step;
};

// `trace` by arrival, every output_tokens known and at most max_tokens. Throws Error otherwise.
ServeResult simulate(const Machine& machine, sched::Policy& policy, const std::vector<sched::Request>& trace,
                     const Observer* observer = nullptr);

}  // namespace hoist::sim
