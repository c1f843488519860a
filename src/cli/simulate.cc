// hoist simulate: what scheduling policies would do to a server, in virtual time and without a model.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <tuple>

#include "base/error.h"
#include "cli/options.h"
#include "io/files.h"
#include "io/json_value.h"
#include "sched/workload.h"
#include "sim/serve_report.h"
#include "sim/trace.h"

namespace hoist::cli {

namespace {

using sched::Request;

struct ServeFlags {
  std::string trace, dataset, prompt = "lognormal:100,0.5,1..2048", output = "pareto:1.1,8..4096",
                              arrivals = "poisson";
  std::vector<double> rates, loads;
  int64_t requests = 2000, context = 0, seed = 0, tenants = 1;
  std::vector<std::string> policies = {"fcfs", "mlfq", "sj-mlfq", "srpt"};
  std::string preset = "a100-13b", cost_file, link = "16GB", kv_bytes;
  double fixed = -1, prefill_token = -1, prefill_pair = -1, decode_row = -1, context_token = -1;
  int64_t max_seqs = 16, step_tokens = 512, block = 16, cache_tokens = 0, host_tokens = 0, max_waiting = 0,
          max_tenant_waiting = 0;
  double slo_ttft = 0, slo_tpot = 0;
  std::string report = "report.html";
  bool json = false;
};

std::string number(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", v);
  return buffer;
}

void expect(bool good, const char* flag, double found, const char* expected) {
  if (!good) throw_invalid(std::string(flag) + ": found " + number(found) + ", expected " + expected);
}

// Preset, then measured file, then single coefficients.
sim::Machine machine_of(const ServeFlags& f, std::string& what) {
  const sched::CostPreset* preset = sched::find_cost_preset(f.preset);
  if (!preset) {
    std::string names;
    for (const auto& p : sched::cost_presets()) names += (names.empty() ? "" : ", ") + std::string(p.name);
    throw_invalid("--preset: found '" + f.preset + "', expected one of " + names);
  }
  sim::Machine m;
  m.cost = preset->cost;
  what = std::string(preset->what);
  if (!f.cost_file.empty()) {
    const sim::MeasuredCost measured = sim::load_cost(f.cost_file);
    m.cost = measured.cost;
    what = f.cost_file;
    if (measured.samples > 0)
      what += ", fitted to " + std::to_string(measured.samples) + " steps within " +
              number(100 * measured.error) + " %";
  }
  auto set = [&](const char* flag, double given, double& value) {
    if (given == -1) return;
    expect(given >= 0 && given <= 1e9, flag, given, "0..1e9 seconds");
    value = given;
    if (what.find(" with ") == what.npos) what += " with flags";
  };
  set("--step-fixed", f.fixed, m.cost.fixed);
  set("--step-prefill-token", f.prefill_token, m.cost.prefill_token);
  set("--step-prefill-pair", f.prefill_pair, m.cost.prefill_pair);
  set("--step-decode-row", f.decode_row, m.cost.decode_row);
  set("--step-context-token", f.context_token, m.cost.context_token);
  expect(m.cost.row_seconds(1) > 0, "--step-fixed", m.cost.fixed, "a decoded row to take time");
  m.limits.max_seqs = f.max_seqs;
  m.limits.step_tokens = f.step_tokens;
  m.limits.block = f.block;
  m.limits.max_waiting = f.max_waiting;
  m.limits.max_tenant_waiting = f.max_tenant_waiting;
  if (f.step_tokens < f.max_seqs)
    throw_invalid("--step-tokens: found " + std::to_string(f.step_tokens) +
                  ", expected at least --max-seqs, " + std::to_string(f.max_seqs));
  m.device_blocks = (f.cache_tokens > 0 ? f.cache_tokens : preset->cache_tokens) / f.block;
  expect(m.device_blocks > 0, "--cache-tokens", static_cast<double>(f.cache_tokens), "at least a block");
  m.host_blocks = f.host_tokens / f.block;
  m.kv_token_bytes = static_cast<double>(f.kv_bytes.empty() ? preset->kv_token_bytes
                                                            : parse_bytes(f.kv_bytes, "--kv-bytes"));
  m.link_bytes_second = static_cast<double>(parse_bytes(f.link, "--link"));
  expect(m.kv_token_bytes > 0, "--kv-bytes", m.kv_token_bytes, "more than 0");
  expect(m.link_bytes_second > 0, "--link", m.link_bytes_second, "more than 0 bytes a second");
  return m;
}

sched::Workload workload_of(const ServeFlags& f) {
  sched::Workload w;
  w.prompt = sched::parse_lengths(f.prompt, "--prompt");
  w.output = sched::parse_lengths(f.output, "--output");
  if (!f.dataset.empty()) {
    const sched::Dataset* d = sched::find_dataset(f.dataset);
    if (!d)
      throw_invalid("--dataset: found '" + f.dataset + "', expected conversation, code or summarization");
    w.prompt = d->prompt;
    w.output = d->output;
  }
  w.arrivals = sched::parse_arrivals(f.arrivals, "--arrivals");
  w.requests = f.requests;
  w.context = f.context;
  w.seed = static_cast<uint64_t>(f.seed);
  w.tenants = static_cast<int32_t>(f.tenants);
  return w;
}

io::JsonValue to_json(const sim::Distribution& d) {
  return {{"mean", d.mean}, {"p50", d.p50}, {"p90", d.p90}, {"p95", d.p95}, {"p99", d.p99}, {"max", d.max}};
}

io::JsonValue to_json(const sim::PolicyRun& run) {
  const sim::Summary& s = run.summary;
  const sim::ServeResult& r = run.result;
  return {{"policy", run.policy},
          {"rate", run.rate},
          {"load", run.load},
          {"requests", s.requests},
          {"refused", s.refused},
          {"seconds", r.seconds},
          {"steps", r.steps},
          {"utilization", s.utilization},
          {"output_tokens_per_second", s.throughput},
          {"latency", to_json(s.latency)},
          {"ttft", to_json(s.ttft)},
          {"tpot", to_json(s.tpot)},
          {"latency_per_token", to_json(s.token_latency)},
          {"attainment", s.attainment},
          {"goodput", s.goodput},
          {"preemptions", r.preemptions},
          {"drops", r.drops},
          {"recomputed_tokens", r.recomputed_tokens},
          {"swaps_out", r.swaps_out},
          {"swaps_in", r.swaps_in},
          {"swap_out_bytes", r.swap_out_bytes},
          {"swap_in_bytes", r.swap_in_bytes},
          {"stalls", r.stalls},
          {"stalled_seconds", r.stalled},
          {"peak_blocks", r.peak_blocks}};
}

void print(const sim::PolicyRun& run) {
  const sim::Summary& s = run.summary;
  std::printf("%-28s %7.3g %6.2f %9.4g %9.4g %9.4g %9.4g %9.4g %9.4g %8.1f%% %8.3g %9lld %7lld\n",
              run.policy.c_str(), run.rate, run.load, s.latency.mean, s.latency.p50, s.latency.p90,
              s.latency.p99, s.ttft.p99, s.tpot.p99, 100 * s.attainment, s.goodput,
              static_cast<long long>(run.result.preemptions), static_cast<long long>(run.result.swaps_out));
  std::fflush(stdout);
}

// The greatest rate of a sweep at which a policy still serves nine in ten within the limits.
void print_goodput(const sim::ServeReport& report, const std::vector<std::string>& policies) {
  for (const std::string& policy : policies) {
    double best = 0;
    for (const sim::PolicyRun& run : report.runs)
      if (run.policy == policy && run.summary.attainment >= 0.9) best = std::max(best, run.rate);
    std::printf("%-28s serves 90 %% within limits up to %.4g requests per second\n", policy.c_str(), best);
  }
}

void run_serve(const ServeFlags& f) {
  std::string machine_text;
  const sim::Machine machine = machine_of(f, machine_text);
  // Refused now, not after minutes.
  for (const std::string& text : f.policies)
    sched::make_policy(sched::parse_policy(text, "--policy"), machine.cost);
  for (double r : f.rates) expect(r > 0 && r <= 1e9, "--rate", r, "more than 0, at most 1e9");
  for (double l : f.loads) expect(l > 0 && l <= 100, "--load", l, "more than 0, at most 100");
  if (!f.trace.empty() && (!f.rates.empty() || !f.loads.empty() || !f.dataset.empty()))
    throw_invalid("--trace-file: found together with --rate, --load or --dataset, expected it alone");
  if (!f.rates.empty() && !f.loads.empty())
    throw_invalid("--rate: found together with --load, expected one of them");

  sched::Workload workload = workload_of(f);
  const double per_request = sched::seconds_per_request(workload, machine.cost, machine.limits);
  std::vector<double> rates = f.rates;
  for (double load : f.loads) rates.push_back(load / per_request);
  if (rates.empty()) rates.push_back(f.trace.empty() ? 0.9 / per_request : 0);
  std::sort(rates.begin(), rates.end());
  rates.erase(std::unique(rates.begin(), rates.end()), rates.end());

  std::vector<Request> trace;
  if (!f.trace.empty()) trace = sim::load_trace(f.trace);
  sim::ServeReport report;
  const sched::Dataset* set = sched::find_dataset(f.dataset);
  report.slo.ttft = f.slo_ttft > 0 ? f.slo_ttft : set ? set->ttft : report.slo.ttft;
  report.slo.tpot = f.slo_tpot > 0 ? f.slo_tpot : set ? set->tpot : report.slo.tpot;
  if (!f.json)
    std::printf("%-28s %7s %6s %9s %9s %9s %9s %9s %9s %9s %8s %9s %7s\n", "policy", "rate", "load", "mean s",
                "p50", "p90", "p99", "ttft p99", "tpot p99", "in limits", "goodput", "preempted", "swaps");
  for (double rate : rates) {
    if (f.trace.empty()) {
      workload.rate = rate;
      trace = sched::generate(workload);
    }
    for (const std::string& text : f.policies) {
      auto policy = sched::make_policy(sched::parse_policy(text, "--policy"), machine.cost);
      sim::PolicyRun run;
      run.policy = text;
      run.rate = rate;
      run.load = rate * per_request;
      run.result = sim::simulate(machine, *policy, trace);
      run.summary = sim::summarize(run.result, report.slo);
      if (!f.json) print(run);
      report.runs.push_back(std::move(run));
    }
  }
  if (f.json) {
    io::JsonValue out = io::JsonValue::array();
    for (const sim::PolicyRun& run : report.runs) out.push_back(to_json(run));
    std::printf("%s\n", out.dump(1).c_str());
  } else if (rates.size() > 1) {
    print_goodput(report, f.policies);
  }
  if (f.report.empty()) return;
  const sched::StepCost& c = machine.cost;
  report.facts = {
      {"Requests",
       f.trace.empty() ? std::to_string(f.requests) + ", seed " + std::to_string(f.seed) : f.trace},
      {"Machine", machine_text},
      {"A step, in seconds", number(c.fixed) + " + " + number(c.prefill_token) + " per prompt token + " +
                                 number(c.prefill_pair) + " per pair + " + number(c.decode_row) +
                                 " per decoded row + " + number(c.context_token) + " per key"},
      {"Sequences, tokens in a step", std::to_string(f.max_seqs) + ", " + std::to_string(f.step_tokens)},
      {"KV blocks of " + std::to_string(f.block) + " tokens: device, host",
       std::to_string(machine.device_blocks) + ", " + std::to_string(machine.host_blocks)},
      {"Link to the host", human_bytes(static_cast<int64_t>(machine.link_bytes_second)) + "/s"}};
  if (f.trace.empty()) {
    report.facts.insert(report.facts.begin() + 1, {"Prompts", workload.prompt.text()});
    report.facts.insert(report.facts.begin() + 2, {"Answers", workload.output.text()});
    report.facts.insert(report.facts.begin() + 3, {"Arrivals", f.arrivals});
  }
  io::atomic_write(f.report, sim::render(report));
  if (!f.json) std::printf("wrote %s\n", f.report.c_str());
}

void add_simulate_serve(Command app) {
  auto f = std::make_shared<ServeFlags>();
  Command sub = app.command("serve", "Compare scheduling policies of a server on the same requests");
  auto list = [&](const char* name, auto& variable, const char* help) {
    sub.add_option(name, variable, help).comma_separated().repeated();
  };
  auto count = [&](const char* name, int64_t& variable, const char* help, int64_t low, int64_t high) {
    sub.option(name, variable, help).range(low, high);
  };
  std::string policies =
      "Policy to simulate; may be given several times, with options as in "
      "sj-mlfq:promote=1,kv=reactive. ";
  for (const sched::PolicyName& n : sched::policy_names())
    policies += std::string(n.name) + ": " + std::string(n.what) + ". ";
  sub.add_option("--policy", f->policies, policies).repeated();
  sub.option(
      "--trace-file", f->trace,
      "Requests from a file, one JSON object per line: arrival (seconds), prompt_tokens, output_tokens");
  sub.option("--dataset", f->dataset,
             "Lengths like those of a public set, and its limits: conversation, code or summarization");
  sub.option("--prompt", f->prompt,
             "Prompt lengths: fixed:N, uniform:LOW..HIGH, lognormal:MEDIAN,SIGMA[,LOW..HIGH], "
             "pareto:SHAPE,LOW..HIGH");
  sub.option("--output", f->output, "Answer lengths, in the same forms");
  sub.option("--arrivals", f->arrivals, "poisson, even, or bursts: gamma:CV (coefficient of variation)");
  list("--rate", f->rates, "Requests per second; several (1,2,4) make curves");
  list("--load", f->loads, "Instead of --rate: the share of full steps' capacity (default 0.9)");
  count("--requests", f->requests, "Requests to draw", 1, 10000000);
  count("--context", f->context, "Longest prompt and answer together; 0: any", 0, int64_t{1} << 26);
  count("--seed", f->seed, "Seed of all draws", 0, INT64_MAX);
  count("--tenants", f->tenants, "Tenants that requests fall to", 1, 1000000);
  sub.option(
      "--preset", f->preset,
      "What steps cost, and the KV cache's size: a100-13b, a100-13b-tp2, a100-66b-tp4, cpu-small or unit");
  sub.option("--cost", f->cost_file,
             "A JSON file of what steps cost: {\"step_cost\": {...}} or {\"samples\": [...]} to fit");
  for (auto [name, variable, help] :
       {std::tuple{"--step-fixed", &f->fixed, "Seconds of every step; -1: as the preset or file says"},
        std::tuple{"--step-prefill-token", &f->prefill_token, "Seconds per prompt token"},
        std::tuple{"--step-prefill-pair", &f->prefill_pair, "Seconds per query-key pair of prompts"},
        std::tuple{"--step-decode-row", &f->decode_row, "Seconds per decoded row"},
        std::tuple{"--step-context-token", &f->context_token, "Seconds per key that decoded rows read"}})
    sub.option(name, *variable, help);
  count("--max-seqs", f->max_seqs, "Sequences in a step", 1, 65536);
  count("--step-tokens", f->step_tokens, "Tokens in a step", 1, 1 << 24);
  count("--block", f->block, "Tokens per KV block", 1, 65536);
  count("--cache-tokens", f->cache_tokens, "Tokens the device's KV cache holds; 0: as the preset says", 0,
        int64_t{1} << 40);
  count("--host-tokens", f->host_tokens, "Tokens that may be swapped to host memory", 0, int64_t{1} << 40);
  count("--max-waiting", f->max_waiting, "Requests that may wait, more being refused; 0: any number", 0,
        int64_t{1} << 40);
  count("--max-tenant-waiting", f->max_tenant_waiting, "Of those, one tenant's; 0: any number", 0,
        int64_t{1} << 40);
  sub.option("--kv-bytes", f->kv_bytes, "Keys and values of one token; empty: as the preset says");
  sub.option("--link", f->link, "Bytes per second between device and host, each way");
  sub.option("--slo-ttft", f->slo_ttft, "Limit on seconds to the first token; 0: the data set's, else 0.25")
      .range(0.0, 1e9);
  sub.option("--slo-tpot", f->slo_tpot, "Limit on seconds per token after it; 0: the data set's, else 0.1")
      .range(0.0, 1e9);
  sub.option("--report", f->report, "The page to write; empty: none");
  sub.flag("--json", f->json, "Print an array of results as JSON");
  sub.footer(
      "Runs the policies that serve requests, the same objects, in virtual time: steps take what the cost "
      "says,\n"
      "and nothing is computed. Every policy gets the same requests; the same seed gives the same figures.\n"
      "Options of a policy: kv=recompute|reactive|proactive (what becomes of a preempted sequence's keys "
      "and\n"
      "values), reserve=true (fcfs: room for the longest answer before a sequence starts), quantum, ratio,\n"
      "levels, promote (seconds without a turn), strict, burst. See docs/scheduling.md.\n\n"
      "Examples:\n"
      "  hoist simulate serve --load 0.9 --max-seqs 8\n"
      "  hoist simulate serve --dataset conversation --rate 1,2,3,4 --policy fcfs --policy sj-mlfq\n"
      "  hoist simulate serve --host-tokens 262144 --cache-tokens 16384 --policy sj-mlfq:kv=reactive "
      "--policy sj-mlfq\n"
      "  hoist simulate serve --trace-file requests.jsonl --cost measured.json --json --report ''");
  sub.callback([f] { run_serve(*f); });
}

}  // namespace

void add_simulate(Command root) {
  Command app = root.command("simulate", "Try scheduling policies in virtual time");
  app.require_command();
  add_simulate_serve(app);
}

}  // namespace hoist::cli
