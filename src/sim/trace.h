// Files the simulator reads: a trace of requests, and what steps cost on a machine.
//
// parse_* read text that somebody else wrote; they throw Error naming source, line and field. load_* read
// files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sched/state.h"

namespace hoist::sim {

// One JSON object per line, by arrival: {"arrival": 0.25, "prompt_tokens": 100, "output_tokens": 20}, and
// optionally "max_tokens" (what a server is told; else the longest answer of the trace), "tenant" and
// "priority" (whole numbers). Empty lines are passed over; other keys are refused.
std::vector<sched::Request> parse_trace(std::string_view text, const std::string& source);
std::vector<sched::Request> load_trace(const std::string& path);

struct MeasuredCost {
  sched::StepCost cost;
  size_t samples = 0;  // that it was fitted to; 0: given as coefficients
  double error = 0;    // mean relative error over them
};

// {"step_cost": {"fixed": s, "prefill_token": s, "prefill_pair": s, "decode_row": s, "context_token": s}},
// absent ones being 0, or measured steps to fit them to: {"samples": [{"prefill_tokens": n, "prefill_pairs":
// n, "decode_rows": n, "context": n, "seconds": s}, ...]} with absent counts 0.
MeasuredCost parse_cost(std::string_view text, const std::string& source);
MeasuredCost load_cost(const std::string& path);

}  // namespace hoist::sim
