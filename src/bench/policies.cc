#include "bench/policies.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <unordered_map>

#include "base/error.h"
#include "bench/ceilings.h"
#include "bench/random_model.h"
#include "decode/engine.h"
#include "sim/simulator.h"

namespace hoist::bench {

namespace {

constexpr size_t kMaxSamples = 20000;

// Tokens of a request: drawn from its number, so that no two begin alike.
decode::SequenceRequest request_of(const sched::Request& r, int64_t vocab) {
  decode::SequenceRequest out;
  const CounterRng rng(r.id, 0);
  for (int64_t i = 0; i < r.prompt_tokens; ++i)
    out.prompt.push_back(
        static_cast<int32_t>(rng.below(static_cast<uint64_t>(i), static_cast<uint64_t>(vocab))));
  out.max_tokens = r.max_tokens;
  out.known_length = r.output_tokens;
  out.ignore_eos = true;
  return out;
}

// Runs a trace in real time. With `at_once` nobody waits for arrivals. `samples` gets measured steps.
sim::ServeResult replay(decode::Engine& engine, const std::vector<sched::Request>& trace, int64_t vocab,
                        bool at_once, std::vector<sched::StepSample>& samples,
                        FunctionRef<void(size_t finished)> progress) {
  sim::ServeResult result;
  result.requests.resize(trace.size());
  std::unordered_map<uint64_t, size_t> owner;
  std::vector<decode::TokenEvent> events;
  const double start = now() - (trace.empty() ? 0 : trace[0].arrival);
  size_t next = 0, finished = 0;
  while (finished < trace.size()) {
    const double before = now() - start;
    for (; next < trace.size() && (at_once || trace[next].arrival <= before); ++next) {
      result.requests[next].request = trace[next];
      if (at_once) result.requests[next].request.arrival = before;
      owner[engine.add(request_of(trace[next], vocab))] = next;
    }
    if (engine.idle()) {
      std::this_thread::sleep_for(std::chrono::duration<double>(trace[next].arrival - before));
      continue;
    }
    events.clear();
    const int64_t steps = engine.counters().steps;
    engine.step(events);
    const double after = now() - start;
    if (engine.counters().steps > steps) {
      result.busy += after - before;
      ++result.steps;
      if (samples.size() < kMaxSamples) samples.push_back(engine.last_step());
    }
    for (const decode::TokenEvent& e : events) {
      if (e.finish == decode::Finish::kError) throw Error(ErrorCode::kCorrupt, "bench policies: " + e.error);
      sim::RequestResult& r = result.requests[owner.at(e.id)];
      if (e.generated == 1) r.first_token = after;
      if (e.generated < r.request.output_tokens) continue;
      if (e.finish == decode::Finish::kNone) engine.cancel(e.id);
      r.completion = after;
      progress(++finished);
    }
  }
  result.seconds = now() - start - trace[0].arrival;
  return result;
}

}  // namespace

PoliciesResult measure_policies(const PoliciesOptions& o, FunctionRef<void(const std::string&)> note,
                                FunctionRef<void(const PolicyResult&)> done) {
  sched::Workload workload;
  workload.prompt = sched::parse_lengths(o.prompt, "--prompt");
  workload.output = sched::parse_lengths(o.output, "--output");
  workload.arrivals = sched::parse_arrivals(o.arrivals, "--arrivals");
  workload.requests = o.requests;
  workload.seed = static_cast<uint64_t>(o.seed);
  const int64_t longest = static_cast<int64_t>(workload.prompt.high + workload.output.high) + 1;
  note("drawing the weights");
  const decode::Model model =
      o.model.empty() ? random_model(o.shape, o.quant, longest) : decode::open_model(o.model);
  decode::EngineOptions options;
  options.threads = o.threads;
  options.max_seqs = o.max_seqs;
  options.step_tokens = o.step_tokens;
  options.context = std::min(longest, model.config.max_position);
  workload.context = options.context;
  options.cache_tokens = o.cache_tokens > 0 ? o.cache_tokens : 4 * o.max_seqs * options.context;
  options.swap_bytes = o.swap_bytes;
  options.prefix_cache = false;  // prompts have nothing in common
  const auto nothing = [](size_t) {};

  PoliciesResult result;
  sched::Limits limits;
  std::vector<sched::StepSample> samples;
  {
    // What steps cost, from requests of the same kind that are not measured: all at once, and one by one.
    decode::Engine engine(model, options);
    limits.max_seqs = options.max_seqs;
    limits.step_tokens = std::max(options.step_tokens, options.max_seqs);
    limits.block = options.block;
    sched::Workload other = workload;
    other.seed = workload.seed + 1000003;
    other.requests = std::min<int64_t>(workload.requests, 6 * o.max_seqs);
    note("measuring what steps cost");
    replay(engine, sched::generate(other), model.config.vocab, true, samples, nothing);
    other.requests = std::min<int64_t>(workload.requests, 6);
    for (const sched::Request& r : sched::generate(other))
      replay(engine, {r}, model.config.vocab, true, samples, nothing);
  }
  result.cost = sched::fit_step_cost(samples);
  result.cost_error = sched::relative_error(result.cost, samples);
  result.cost_samples = static_cast<int64_t>(samples.size());
  options.cost = result.cost;
  const double per_request = sched::seconds_per_request(workload, result.cost, limits);
  const double total = static_cast<double>(o.policies.size() * o.loads.size());
  for (double load : o.loads)
    for (const std::string& text : o.policies) {
      PolicyResult run;
      run.policy = text;
      run.load = load;
      run.rate = workload.rate = load / per_request;
      const std::vector<sched::Request> trace = sched::generate(workload);
      options.policy = sched::parse_policy(text, "--policy");
      decode::Engine engine(model, options);
      const double begin = now();
      samples.clear();
      auto progress = [&](size_t finished) {
        char line[160];
        const double share = static_cast<double>(finished) / static_cast<double>(trace.size());
        const double left = (now() - begin) / share * (1 - share) +
                            trace.back().arrival * (total - 1 - static_cast<double>(result.runs.size()));
        std::snprintf(line, sizeof line, "%s at load %.2f: %zu of %zu requests, %.0f s left", text.c_str(),
                      load, finished, trace.size(), left);
        note(line);
      };
      const sim::ServeResult real = replay(engine, trace, model.config.vocab, false, samples, progress);
      sim::Machine machine;
      machine.limits = limits;
      machine.device_blocks = engine.total_blocks();
      machine.host_blocks = engine.swap_blocks();
      machine.kv_token_bytes =
          static_cast<double>(models::cache_bytes_per_token(model.config, options.cache));
      if (machine.host_blocks > 0)
        machine.link_bytes_second =
            machine.kv_token_bytes * static_cast<double>(limits.block) / engine.swap_block_seconds();
      const sim::Slo slo{1e9, 1e9};
      run.real = sim::summarize(real, slo);
      for (auto [cost, summary] : {std::pair{result.cost, &run.forecast},
                                   std::pair{sched::fit_step_cost(samples), &run.simulated}}) {
        machine.cost = cost;
        const auto policy = sched::make_policy(options.policy, result.cost);
        *summary = sim::summarize(sim::simulate(machine, *policy, trace), slo);
      }
      run.real_seconds = real.seconds;
      done(run);
      result.runs.push_back(std::move(run));
    }
  return result;
}

std::vector<Row> to_rows(const PoliciesOptions& o, const PoliciesResult& result) {
  std::vector<Row> rows;
  for (size_t i = 0; i < result.runs.size(); ++i) {
    const PolicyResult& run = result.runs[i];
    const PolicyResult& first = result.runs[i - i % o.policies.size()];
    char load[48];
    std::snprintf(load, sizeof load, " load %.2f batch %lld", run.load, static_cast<long long>(o.max_seqs));
    auto add = [&](const char* name, double value, const char* unit) {
      Row r;
      r.name = name;
      r.shape = run.policy + load;
      r.dtype = o.model.empty() ? o.quant : "";
      r.unit = unit;
      r.threads = o.threads;
      r.value = value;
      rows.push_back(std::move(r));
    };
    add("policy.mean", run.real.latency.mean, "s");
    add("policy.p95", run.real.latency.p95, "s");
    add("policy.p99", run.real.latency.p99, "s");
    add("policy.ttft_p99", run.real.ttft.p99, "s");
    add("policy.utilization", run.real.utilization, "");
    add("policy.mean.gain", first.real.latency.mean / run.real.latency.mean, "x");
    add("policy.p99.ratio", run.real.latency.p99 / first.real.latency.p99, "x");
    add("forecast.mean.ratio", run.forecast.latency.mean / run.real.latency.mean, "x");
    add("forecast.p95.ratio", run.forecast.latency.p95 / run.real.latency.p95, "x");
    add("simulated.mean", run.simulated.latency.mean, "s");
    add("simulated.p95", run.simulated.latency.p95, "s");
    add("simulated.mean.ratio", run.simulated.latency.mean / run.real.latency.mean, "x");
    add("simulated.p95.ratio", run.simulated.latency.p95 / run.real.latency.p95, "x");
  }
  return rows;
}

}  // namespace hoist::bench
