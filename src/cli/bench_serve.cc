// hoist bench serve: an open-loop load generator for any server of OpenAI-compatible completions.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "cli/options.h"
#include "io/files.h"
#include "load/load_report.h"
#include "load/search.h"
#include "sched/workload.h"
#include "sim/trace.h"

namespace hoist::cli {

namespace {

using sched::Request;

struct Flags {
  std::string url = "http://127.0.0.1:8080", model, trace, dataset, prompt = "lognormal:100,0.5,1..2048",
              output = "lognormal:50,0.7,1..1024", arrivals = "poisson", report = "report.html";
  std::vector<std::string> keys;
  std::vector<double> rates;
  int64_t requests = 200, context = 0, seed = 0, tenants = 1, warmup = 8, max_token_id = -1,
          shared_prefix = 0;
  double slo_ttft = 0, slo_tpot = 0, slo_scale = 0, share = 0.9, tolerance = 0.05, budget = 600,
         timeout = 600;
  bool json = false, text_prompts = false;
};

std::string number(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.4g", v);
  return buffer;
}

// One line that is written over, on a terminal only.
class Note {
 public:
  void say(const std::string& what, double left) {
    if (!terminal_) return;
    const long seconds = std::lround(std::max(0.0, left));
    std::fprintf(stderr, "\r\033[K%s  %ld:%02ld left", what.c_str(), seconds / 60, seconds % 60);
    std::fflush(stderr);
    drawn_ = true;
  }
  void clear() {
    if (drawn_) std::fprintf(stderr, "\r\033[K");
    drawn_ = false;
  }

 private:
  const bool terminal_ = isatty(2) != 0;
  bool drawn_ = false;
};

sched::Workload workload_of(const Flags& f, const sched::Dataset* set, int64_t context) {
  sched::Workload w;
  w.prompt = set ? set->prompt : sched::parse_lengths(f.prompt, "--prompt");
  w.output = set ? set->output : sched::parse_lengths(f.output, "--output");
  w.arrivals = sched::parse_arrivals(f.arrivals, "--arrivals");
  w.requests = f.requests;
  w.context = f.context > 0 ? f.context : context;
  w.seed = static_cast<uint64_t>(f.seed);
  w.tenants = static_cast<int32_t>(f.tenants);
  return w;
}

// Everything of one run of the command.
class Bench {
 public:
  explicit Bench(const Flags& f) : f_(f), url_(load::parse_url(f.url, "--url")), client_(url_, {f.timeout}) {
    if (!f.dataset.empty()) {
      set_ = sched::find_dataset(f.dataset);
      if (!set_)
        throw_invalid("--dataset: found '" + f.dataset + "', expected conversation, code or summarization");
    }
    if (!f.trace.empty() && (!f.rates.empty() || set_))
      throw_invalid("--trace-file: found together with --rate or --dataset, expected it alone");
    for (double r : f.rates)
      if (!(r > 0 && r <= 1e6))
        throw_invalid("--rate: found " + number(r) + ", expected more than 0, at most 1e6");
    if (f.slo_scale > 0 && (f.slo_ttft > 0 || f.slo_tpot > 0))
      throw_invalid(
          "--slo-scale: found together with --slo-ttft or --slo-tpot, expected one way of setting limits");
    workload_ = workload_of(f, set_, 0);  // flags are refused before the server is asked
    if (!f.trace.empty()) trace_ = sim::load_trace(f.trace);
    report_.share = f.share;
  }

  void run() {
    load::TargetOptions options;
    options.url = url_;
    options.model = f_.model;
    options.keys = f_.keys;
    options.max_token_id = f_.max_token_id;
    options.text_prompts = f_.text_prompts;
    options.shared_prefix = f_.shared_prefix;
    target_ = load::probe(client_, options);
    workload_ = workload_of(f_, set_, target_.context);
    describe();
    alone();
    if (!f_.json) std::printf("%s\n", load::header_line().c_str());
    if (!f_.trace.empty()) {
      measure(0, trace_, false);
    } else if (!f_.rates.empty()) {
      std::vector<double> rates = f_.rates;
      std::sort(rates.begin(), rates.end());
      rates.erase(std::unique(rates.begin(), rates.end()), rates.end());
      for (const double rate : rates)
        if (measure(rate, at_rate(rate), false)) report_.max_rate = rate;
    } else {
      search();
    }
    finish();
  }

 private:
  std::vector<Request> at_rate(double rate) {
    workload_.rate = rate;
    return sched::generate(workload_);
  }

  void describe() {
    report_.facts = target_.facts();
    if (f_.trace.empty()) {
      report_.shape =
          f_.arrivals + " prompt=" + workload_.prompt.text() + " output=" + workload_.output.text();
      report_.facts.push_back({"Prompt lengths", workload_.prompt.text()});
      report_.facts.push_back({"Answer lengths", workload_.output.text()});
      report_.facts.push_back({"Arrivals", f_.arrivals});
      report_.facts.push_back(
          {"Requests at each rate", std::to_string(f_.requests) + ", seed " + std::to_string(f_.seed)});
    } else {
      report_.shape = "trace=" + f_.trace;
      report_.facts.push_back({"Requests", std::to_string(trace_.size()) + " of " + f_.trace});
    }
    if (f_.json) return;
    for (const auto& [name, text] : report_.facts) std::printf("%-22s %s\n", name.c_str(), text.c_str());
  }

  // Warms the server up, and learns what latency is without load.
  void alone() {
    std::vector<Request> first = f_.trace.empty() ? at_rate(1) : trace_;
    first.resize(std::min(first.size(), static_cast<size_t>(f_.warmup)));
    note_.say("warming up", 0);
    const load::Point warm = load::run_alone(client_, target_, first, next_seed());
    note_.clear();
    const std::vector<std::string> why = load::reasons(warm);
    if (!why.empty())
      throw Error(ErrorCode::kUnavailable, f_.url + ": requests fail without any load: " + why[0]);
    const load::PointSummary s = load::summarize(warm, {});
    unloaded_ = s.latency.p50;
    report_.slo.ttft = f_.slo_ttft > 0 ? f_.slo_ttft : set_ ? set_->ttft : report_.slo.ttft;
    report_.slo.tpot = f_.slo_tpot > 0 ? f_.slo_tpot : set_ ? set_->tpot : report_.slo.tpot;
    std::string limits = number(report_.slo.ttft) + " s, " + number(report_.slo.tpot) + " s";
    if (f_.slo_scale > 0) {
      report_.slo = {f_.slo_scale * s.ttft.p50, std::isfinite(s.tpot.p50) ? f_.slo_scale * s.tpot.p50 : 1e9};
      limits = number(report_.slo.ttft) + " s, " + number(report_.slo.tpot) + " s: " + number(f_.slo_scale) +
               " times those without load";
    }
    const std::pair<std::string, std::string> more[] = {
        {"Without load", "first token after " + number(s.ttft.p50) + " s, then " + number(s.tpot.p50) +
                             " s per token, whole answers " + number(s.latency.p50) + " s (medians of " +
                             std::to_string(first.size()) + ")"},
        {"Limits: first, others", limits}};
    for (const auto& fact : more) {
      report_.facts.push_back(fact);
      if (!f_.json) std::printf("%-22s %s\n", fact.first.c_str(), fact.second.c_str());
    }
  }

  // Whether the share asked for was within the limits.
  bool measure(double rate, const std::vector<Request>& requests, bool may_give_up) {
    load::PointOptions options;
    options.seed = next_seed();
    options.slo = report_.slo;
    options.share = may_give_up ? f_.share : 0;
    options.progress = [&](size_t done, size_t all, double left) {
      note_.say((rate > 0 ? "rate " + number(rate) : "trace") + ": " + std::to_string(done) + " of " +
                    std::to_string(all) +
                    (may_give_up ? ", budget " + number(std::ceil(budget_left())) + " s" : ""),
                left + unloaded_);
    };
    load::LoadRun run;
    run.point = load::run_point(client_, target_, requests, options);
    run.point.rate = rate;
    run.summary = load::summarize(run.point, report_.slo);
    note_.clear();
    if (!f_.json) {
      std::printf("%s\n", load::to_line(run).c_str());
      for (const std::string& why : load::reasons(run.point)) std::printf("        %s\n", why.c_str());
      std::fflush(stdout);
    }
    const bool good = !run.point.given_up && run.summary.attainment >= f_.share;
    report_.runs.push_back(std::move(run));
    return good;
  }

  double budget_left() const { return f_.budget - (client_.now() - search_began_); }

  void search() {
    search_began_ = client_.now();
    load::SearchOptions options;
    options.start = unloaded_ > 0 ? 0.5 / unloaded_ : 1;
    options.tolerance = f_.tolerance;
    load::RateSearch search(options);
    while (const std::optional<double> rate = search.next()) {
      const double needed = static_cast<double>(f_.requests) / *rate + unloaded_;
      if (needed > budget_left()) {
        if (!f_.json)
          std::printf("the budget ends here: %s requests per second would take %.0f s, %.0f s are left\n",
                      number(*rate).c_str(), needed, std::max(0.0, budget_left()));
        break;
      }
      search.observe(*rate, measure(*rate, at_rate(*rate), true));
    }
    report_.max_rate = search.passed();
    if (search.failed() > 0)
      report_.facts.push_back({"Search", "passed at " + number(search.passed()) + ", failed at " +
                                             number(search.failed()) + " requests per second"});
    std::stable_sort(report_.runs.begin(), report_.runs.end(),
                     [](const auto& a, const auto& b) { return a.point.rate < b.point.rate; });
  }

  void finish() {
    if (f_.json) {
      std::printf("%s\n", load::to_json(report_).c_str());
    } else if (f_.trace.empty()) {
      if (report_.max_rate > 0) {
        std::printf("%s requests per second are served with %.4g %% within the limits\n",
                    number(report_.max_rate).c_str(), 100 * f_.share);
      } else {
        std::printf("no rate that was measured is served with %.4g %% within the limits\n", 100 * f_.share);
      }
    }
    if (f_.report.empty()) return;
    io::atomic_write(f_.report, load::render(report_));
    if (!f_.json) std::printf("wrote %s\n", f_.report.c_str());
  }

  // Every point has prompts of its own: a cache of prefixes must not know them.
  uint64_t next_seed() { return static_cast<uint64_t>(f_.seed) * 1000003 + points_++; }

  const Flags f_;
  const load::Url url_;
  load::HttpClient client_;
  load::Target target_;
  sched::Workload workload_;
  const sched::Dataset* set_ = nullptr;
  std::vector<Request> trace_;
  load::LoadReport report_;
  Note note_;
  double unloaded_ = 0, search_began_ = 0;
  uint64_t points_ = 0;
};

}  // namespace

void add_bench_serve(Command app) {
  auto f = std::make_shared<Flags>();
  Command sub = app.command("serve", "Put load on an OpenAI-compatible server: latency, attainment, goodput");
  sub.option("--url", f->url, "The server: http://HOST:PORT, with or without /v1");
  sub.option("--model", f->model, "Its model; empty: the first it lists");
  sub.add_option("--key", f->keys, "API key; several stand for tenants, whose requests mix").repeated();
  sub.add_option("--rate", f->rates,
                 "Requests per second; several (1,2,4) make curves. Without it: the greatest rate within the "
                 "limits is searched for")
      .comma_separated()
      .repeated();
  sub.option("--requests", f->requests, "Requests at each rate; below 100 the percentiles mean little")
      .range(int64_t{1}, int64_t{10000000});
  sub.option("--dataset", f->dataset,
             "Lengths like those of a public set, and its limits: conversation, code or summarization");
  sub.option("--prompt", f->prompt,
             "Prompt lengths in tokens: fixed:N, uniform:LOW..HIGH, lognormal:MEDIAN,SIGMA[,LOW..HIGH], "
             "pareto:SHAPE,LOW..HIGH");
  sub.option("--output", f->output, "Answer lengths, in the same forms");
  sub.option("--arrivals", f->arrivals, "poisson, even, or bursts: gamma:CV (coefficient of variation)");
  sub.option("--trace-file", f->trace,
             "Arrivals and lengths from a file, one JSON object per line: arrival (seconds), prompt_tokens, "
             "output_tokens, tenant");
  sub.option("--context", f->context, "Longest prompt and answer together; 0: what the server says it has")
      .range(int64_t{0}, int64_t{1} << 26);
  sub.option("--tenants", f->tenants,
             "Tenants that requests fall to at random; tenant i sends the i-th --key")
      .range(int64_t{1}, int64_t{1000000});
  sub.option("--seed", f->seed, "Seed of all draws").range(int64_t{0}, int64_t{1} << 40);
  sub.option("--warmup", f->warmup, "Requests sent one by one first; they also tell latency without load")
      .range(int64_t{1}, int64_t{10000});
  sub.option("--slo-ttft", f->slo_ttft, "Limit on seconds to the first token; 0: the data set's, else 0.25")
      .range(0.0, 1e9);
  sub.option("--slo-tpot", f->slo_tpot, "Limit on seconds per token after it; 0: the data set's, else 0.1")
      .range(0.0, 1e9);
  sub.option("--slo-scale", f->slo_scale, "Instead: limits so many times what both are without load; 0: off")
      .range(0.0, 1e6);
  sub.option("--share", f->share, "Share of requests that must be within both limits").range(0.01, 1.0);
  sub.option("--tolerance", f->tolerance, "The search ends when it is this close, relatively")
      .range(0.001, 1.0);
  sub.option("--budget", f->budget, "Seconds the search may take").range(1.0, 1e6);
  sub.option("--timeout", f->timeout, "Seconds after which one request has failed").range(0.1, 1e6);
  sub.option("--max-token-id", f->max_token_id, "Greatest token id of prompts; -1: found out")
      .range(int64_t{-1}, int64_t{1} << 30);
  sub.option("--shared-prefix", f->shared_prefix,
             "Tokens that begin every prompt alike, as a system prompt does")
      .range(int64_t{0}, int64_t{1} << 24);
  sub.flag("--text-prompts", f->text_prompts, "Words even where the server takes token ids");
  sub.option("--report", f->report, "The page to write; empty: none");
  sub.flag("--json", f->json, "Print an array of rows as JSON: name, shape, rate, value, unit");
  sub.footer(
      "Requests are sent when their time comes, however slow the server is (open loop), and times count from "
      "when\n"
      "they were due. A request is within the limits when its first token came in time (TTFT) and its other\n"
      "tokens came fast enough on average (TPOT); refused and failed ones are not. The greatest rate at "
      "which\n"
      "--share of them are is the server's goodput. Prompts have exactly the tokens asked for, by random "
      "token\n"
      "ids or by words that were measured; answers too, where the server knows ignore_eos. \"late ms\" says "
      "how\n"
      "far behind its schedule this generator fell at worst, \"gen %\" what it took of one core.\n\n"
      "Examples:\n"
      "  hoist bench serve --url http://127.0.0.1:8080 --rate 1,2,4,8 --prompt fixed:128 --output fixed:32\n"
      "  hoist bench serve --slo-scale 5 --requests 100 --budget 300         # searches for the goodput\n"
      "  hoist bench serve --dataset conversation --arrivals gamma:4 --rate 2 --json --report ''\n"
      "  hoist bench serve --url http://127.0.0.1:8081 --model any --trace-file requests.jsonl  # "
      "llama-server");
  sub.callback([f] { Bench(*f).run(); });
}

}  // namespace hoist::cli
