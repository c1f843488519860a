// Any text as a trace of requests, as a cost file, as a policy and as distributions. Refusals are Errors that
// lead with the source; an accepted trace can be simulated, by an accepted policy too, and every request ends
// once.
// Links: sim sched io report
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "sched/workload.h"
#include "sim/simulator.h"
#include "sim/trace.h"

using namespace hoist;

namespace {

template <class F>
bool accepted(F&& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    HOIST_CHECK(std::string_view(error.what()).starts_with("fuzz") ||
                    std::string_view(error.what()).starts_with("policy"),
                "a refusal names its source: " + std::string(error.what()));
    return false;
  }
}

// Short requests only: a long one takes long.
void simulate_some(std::vector<sched::Request> trace, const sched::PolicySpec& spec) {
  if (trace.size() > 50) trace.resize(50);
  for (sched::Request& r : trace) {
    r.output_tokens = 1 + r.output_tokens % 40;
    r.max_tokens = std::max(r.output_tokens, r.max_tokens % 64);
    r.prompt_tokens = 1 + r.prompt_tokens % 100;
  }
  sim::Machine m;
  m.limits = {4, 32, 4, 0};
  m.cost = {0.01, 1e-3, 1e-6, 1e-3, 1e-6};
  m.device_blocks = 60;
  m.host_blocks = 100;
  m.link_bytes_second = 1000;
  std::unique_ptr<sched::Policy> policy;
  if (!accepted([&] { policy = sched::make_policy(spec, m.cost); })) return;
  for (const sim::RequestResult& r : sim::simulate(m, *policy, trace).requests)
    HOIST_CHECK(r.refused != sched::Refusal::kNone || r.completion >= r.request.arrival, "a request is lost");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: {
      std::vector<sched::Request> trace;
      if (accepted([&] { trace = sim::parse_trace(text, "fuzz"); }))
        simulate_some(std::move(trace), {"sj-mlfq", {}});
      break;
    }
    case 1: {
      sim::MeasuredCost cost;
      if (accepted([&] { cost = sim::parse_cost(text, "fuzz"); }))
        HOIST_CHECK(cost.cost.row_seconds(1) > 0, "a row takes time");
      break;
    }
    case 2: {
      sched::PolicySpec spec;
      sched::Workload w;
      w.requests = 30;
      w.rate = 10;
      if (accepted([&] { spec = sched::parse_policy(text, "fuzz"); }))
        simulate_some(sched::generate(w), spec);
      break;
    }
    default: {
      sched::Lengths l;
      if (!accepted([&] { l = sched::parse_lengths(text, "fuzz"); })) break;
      for (double u : {0.0, 0.3, 0.999999}) {
        const double q = l.quantile(u);
        HOIST_CHECK(q >= 1 && q <= sched::kMaxLength && q == std::floor(q), "a length");
      }
      HOIST_CHECK(sched::parse_lengths(l.text(), "fuzz").text() == l.text(), "text reads back");
    }
  }
  return 0;
}
