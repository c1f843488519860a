#include "serve/metrics.h"

#include <mutex>

#include "serve/metric_set.h"

namespace hoist::serve {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

// vLLM's, so that dashboards made for it fit.
const Buckets kFirstToken = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                             1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
const Buckets kPerToken = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
                           0.4,   0.5,    0.75,  1,    2.5,   5,    7.5,   10,  20,   40,  80};

}  // namespace

struct Metrics::State : MetricSet {
  using MetricSet::MetricSet;
  Gauge& running = gauge("hoist:num_requests_running", "Sequences that have begun to answer.");
  Gauge& waiting = gauge("hoist:num_requests_waiting", "Sequences without a first token.");
  Gauge& cache = gauge("hoist:kv_cache_usage_perc", "Share of the KV cache in use; 1 is all of it.");
  Gauge& stalled = gauge("hoist:engine_stalled", "1 while the engine has work and takes no step.");
  Counter& prompt_tokens = counter("hoist:prompt_tokens_total", "Tokens of prompts, also those reused.");
  Counter& generation_tokens = counter("hoist:generation_tokens_total", "Tokens generated.");
  Counter& queries = counter("hoist:prefix_cache_queries_total", "Tokens of prompts looked up.");
  Counter& hits = counter("hoist:prefix_cache_hits_total", "Of those, tokens found.");
  Counter& steps = counter("hoist:steps_total", "Steps of the engine.");
  Counter& rows = counter("hoist:rows_computed_total", "Rows computed in all steps.");
  Counter& live =
      counter("hoist:rows_live_total",
              "Rows that answers needed: tokens of prompts that were not reused, and generated ones.");
  Gauge& ratio =
      gauge("hoist:rows_computed_per_live_row",
            "Rows computed over those needed, since the start; above 1 work was done twice or for nothing.");
  Histogram& first_token =
      histogram("hoist:time_to_first_token_seconds", "From submission to the first text.", kFirstToken);
  Histogram& per_token = histogram("hoist:time_per_output_token_seconds",
                                   "Mean time of the tokens after the first, by request.", kPerToken);
  Histogram& latency =
      histogram("hoist:e2e_request_latency_seconds", "From submission to the end.", request_buckets());
  Histogram& prompt_sizes = histogram("hoist:request_prompt_tokens", "Tokens of prompts.", token_buckets());
  Histogram& answer_sizes =
      histogram("hoist:request_generation_tokens", "Tokens of answers.", token_buckets());
  prometheus::Family<Counter>& ends = family("hoist:request_success_total", "Sequences by how they ended.");
  prometheus::Family<Counter>& http =
      family("hoist:http_requests_total", "HTTP requests by status; 0: the client left.");
  prometheus::Family<Counter>& tenants = family("hoist:tenant_requests_total", "HTTP requests by tenant.");
  std::mutex text_mutex;  // counters that follow others' numbers are read, then raised

  static void raise(Counter& counter, int64_t to) {
    const double more = static_cast<double>(to) - counter.Value();
    if (more > 0) counter.Increment(more);
  }
};

Metrics::Metrics(const std::string& model_name) : state_(std::make_unique<State>(model_name)) {
  for (const char* reason : {"stop", "length", "error", "abort"})
    state_->one_of(state_->ends, "finished_reason", reason);
}
Metrics::~Metrics() = default;

void Metrics::queued() { state_->waiting.Increment(); }

void Metrics::started(double ttft, int64_t prompt_tokens, int64_t cached_tokens) {
  State& s = *state_;
  s.waiting.Decrement();
  s.running.Increment();
  s.first_token.Observe(ttft);
  s.prompt_tokens.Increment(static_cast<double>(prompt_tokens));
  s.queries.Increment(static_cast<double>(prompt_tokens));
  s.hits.Increment(static_cast<double>(cached_tokens));
  s.live.Increment(static_cast<double>(prompt_tokens - cached_tokens));
}

void Metrics::generated(int64_t tokens, int64_t rows) {
  state_->generation_tokens.Increment(static_cast<double>(tokens));
  state_->live.Increment(static_cast<double>(rows));
}

void Metrics::refused() { state_->waiting.Decrement(); }

void Metrics::ended(std::string_view reason, bool started, double seconds, double tpot, int64_t prompt_tokens,
                    int64_t tokens) {
  State& s = *state_;
  (started ? s.running : s.waiting).Decrement();
  s.one_of(s.ends, "finished_reason", std::string(reason)).Increment();
  if (reason == "error" || reason == "abort") return;
  s.latency.Observe(seconds);
  if (tpot >= 0) s.per_token.Observe(tpot);
  s.prompt_sizes.Observe(static_cast<double>(prompt_tokens));
  s.answer_sizes.Observe(static_cast<double>(tokens));
}

void Metrics::answered(int status, std::string_view tenant) {
  state_->one_of(state_->http, "status", std::to_string(status)).Increment();
  if (!tenant.empty()) state_->one_of(state_->tenants, "tenant", std::string(tenant)).Increment();
}

void Metrics::set_stalled(bool stalled) { state_->stalled.Set(stalled ? 1 : 0); }

std::string Metrics::text(const EngineLoad& load) {
  State& s = *state_;
  const std::lock_guard lock(s.text_mutex);
  if (load.total_blocks > 0)
    s.cache.Set(1 - static_cast<double>(load.free_blocks) / static_cast<double>(load.total_blocks));
  State::raise(s.steps, load.steps);
  State::raise(s.rows, load.rows);
  if (s.live.Value() > 0) s.ratio.Set(s.rows.Value() / s.live.Value());
  return s.text();
}

}  // namespace hoist::serve
