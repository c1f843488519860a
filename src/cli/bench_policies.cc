// hoist bench policies: scheduling policies in the real engine, and how well the simulator foretells them.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/error.h"
#include "bench/policies.h"
#include "cli/options.h"

namespace hoist::cli {

namespace {

struct Flags {
  bench::PoliciesOptions options;
  std::string swap = "0";
  bool json = false;
};

void run(Flags f) {
  bench::PoliciesOptions& o = f.options;
  for (double load : o.loads)
    if (!(load > 0 && load <= 100))
      throw_invalid("--load: found " + std::to_string(load) + ", expected more than 0, at most 100");
  for (const std::string& text : o.policies) sched::parse_policy(text, "--policy");
  o.swap_bytes = parse_bytes(f.swap, "--swap");
  const bool terminal = isatty(2) != 0;
  auto clear = [&] {
    if (terminal) std::fprintf(stderr, "\r\033[K");
  };
  auto note = [&](const std::string& text) {
    if (terminal) std::fprintf(stderr, "\r\033[K%s", text.c_str());
  };
  if (!f.json)
    std::printf("%-24s %5s %8s %9s %9s %9s %9s %9s %6s | %9s %9s | %9s %9s\n", "policy", "load", "rate",
                "mean s", "p50", "p95", "p99", "ttft p99", "busy", "sim mean", "p95", "forecast", "p95");
  const bench::PoliciesResult result = bench::measure_policies(o, note, [&](const bench::PolicyResult& r) {
    clear();
    if (f.json) return;
    std::printf("%-24s %5.2f %8.3g %9.4g %9.4g %9.4g %9.4g %9.4g %5.0f%% | %9.4g %9.4g | %9.4g %9.4g\n",
                r.policy.c_str(), r.load, r.rate, r.real.latency.mean, r.real.latency.p50, r.real.latency.p95,
                r.real.latency.p99, r.real.ttft.p99, 100 * r.real.utilization, r.simulated.latency.mean,
                r.simulated.latency.p95, r.forecast.latency.mean, r.forecast.latency.p95);
    std::fflush(stdout);
  });
  clear();
  if (f.json) {
    std::printf("%s\n", bench::to_json(bench::to_rows(o, result)).c_str());
    return;
  }
  const sched::StepCost& c = result.cost;
  std::printf(
      "a step: %.3g s + %.3g per prompt token + %.3g per pair + %.3g per row + %.3g per key; %lld steps "
      "fitted within %.1f %%\n",
      c.fixed, c.prefill_token, c.prefill_pair, c.decode_row, c.context_token,
      static_cast<long long>(result.cost_samples), 100 * result.cost_error);
}

}  // namespace

void add_bench_policies(Command app) {
  auto f = std::make_shared<Flags>();
  bench::PoliciesOptions& o = f->options;
  Command sub = app.command("policies", "Scheduling policies in the real engine, and as simulated");
  sub.add_option("--policy", o.policies, "A policy as in `hoist simulate serve`; the first is compared with")
      .repeated();
  sub.option("--shape", o.shape, "llama-1.1b, gpt2-124m or tiny, with random weights");
  sub.option("--model", o.model, "A model folder or file instead");
  sub.option("--quant", o.quant, "How random weights are kept: f32, bf16, q8_0, q4_0 or q4_k");
  sub.add_option("--load", o.loads, "Shares of what full steps can do").comma_separated().repeated();
  sub.option("--prompt", o.prompt, "Prompt lengths, as in `hoist simulate serve`");
  sub.option("--output", o.output, "Answer lengths, in the same forms");
  sub.option("--arrivals", o.arrivals, "poisson, even or gamma:CV");
  sub.option("--requests", o.requests, "Requests of each run").range(int64_t{1}, int64_t{1000000});
  sub.option("--seed", o.seed, "Seed of all draws").range(int64_t{0}, INT64_MAX);
  sub.option("--max-seqs", o.max_seqs, "Sequences in a step").range(int64_t{1}, int64_t{4096});
  sub.option("--step-tokens", o.step_tokens, "Tokens in a step").range(int64_t{1}, int64_t{65536});
  sub.option("--cache-tokens", o.cache_tokens, "Tokens the KV cache holds; 0: four times what a step needs");
  sub.option("--swap", f->swap, "Bytes of memory for KV that is swapped out");
  sub.option("--threads", o.threads, "Threads; 0: one per core");
  sub.flag("--json", f->json, "Print an array of rows as JSON");
  sub.footer(
      "Runs in real time: a load of 0.9 with 200 requests takes minutes per policy. All policies get the "
      "same\n"
      "requests; the simulator gets them too, with the cost of this run's steps, and for the forecast that "
      "of others before.\n\n"
      "Example:\n  hoist bench policies --policy fcfs --policy sj-mlfq --load 0.5,0.8 --requests 300");
  sub.callback([f] { run(*f); });
}

}  // namespace hoist::cli
