#include "serve/encoder_metrics.h"

#include "serve/metric_set.h"

namespace hoist::serve {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

// Encoders answer in milliseconds, so vLLM's buckets of requests begin too late.
const Buckets kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
const Buckets kSequences = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

}  // namespace

struct EncoderMetrics::State : MetricSet {
  using MetricSet::MetricSet;
  Gauge& running = gauge("hoist:num_requests_running", "Sequences in the batch under way.");
  Gauge& waiting = gauge("hoist:num_requests_waiting", "Sequences that wait for a batch.");
  Counter& tokens = counter("hoist:prompt_tokens_total", "Tokens of sequences, also of those not computed.");
  Counter& computed = counter("hoist:rows_computed_total", "Tokens computed in all batches.");
  Counter& batches = counter("hoist:batches_total", "Batches computed.");
  Counter& queries =
      counter("hoist:response_cache_queries_total", "Sequences looked up among known answers.");
  Counter& hits = counter("hoist:response_cache_hits_total", "Of those, sequences found.");
  Histogram& latency =
      histogram("hoist:e2e_request_latency_seconds", "From submission to the answer.", kSeconds);
  Histogram& queue =
      histogram("hoist:request_queue_time_seconds", "From submission to the beginning of a batch.", kSeconds);
  Histogram& batch = histogram("hoist:batch_time_seconds", "Time of a batch.", kSeconds);
  Histogram& sizes = histogram("hoist:request_prompt_tokens", "Tokens of sequences.", token_buckets());
  Histogram& widths = histogram("hoist:batch_sequences", "Sequences of batches.", kSequences);
  prometheus::Family<Counter>& ends =
      family("hoist:request_success_total", "Sequences by how they ended: stop, error or abort.");
  prometheus::Family<Counter>& http =
      family("hoist:http_requests_total", "HTTP requests by status; 0: the client left.");
  prometheus::Family<Counter>& tenants = family("hoist:tenant_requests_total", "HTTP requests by tenant.");
  Counter& stop = one_of(ends, "finished_reason", "stop");
  Counter& error = one_of(ends, "finished_reason", "error");
  Counter& abort = one_of(ends, "finished_reason", "abort");

  void done(double seconds, int64_t count) {
    stop.Increment();
    tokens.Increment(static_cast<double>(count));
    latency.Observe(seconds);
    sizes.Observe(static_cast<double>(count));
  }
};

EncoderMetrics::EncoderMetrics(const std::string& model_name) : state_(std::make_unique<State>(model_name)) {}
EncoderMetrics::~EncoderMetrics() = default;

void EncoderMetrics::queued() { state_->waiting.Increment(); }

void EncoderMetrics::looked_up(bool hit) {
  state_->queries.Increment();
  if (hit) state_->hits.Increment();
}

void EncoderMetrics::cached(double seconds, int64_t tokens) {
  state_->waiting.Decrement();
  state_->done(seconds, tokens);
}

void EncoderMetrics::cancelled() {
  state_->waiting.Decrement();
  state_->abort.Increment();
}

void EncoderMetrics::failed() {
  state_->waiting.Decrement();
  state_->error.Increment();
}

void EncoderMetrics::batch_began(int64_t sequences) {
  state_->waiting.Decrement(static_cast<double>(sequences));
  state_->running.Increment(static_cast<double>(sequences));
}

void EncoderMetrics::computed(double waited, double seconds, int64_t tokens) {
  state_->queue.Observe(waited);
  state_->done(seconds, tokens);
}

void EncoderMetrics::batch_ended(int64_t sequences, int64_t tokens, double seconds) {
  State& s = *state_;
  s.running.Decrement(static_cast<double>(sequences));
  s.batches.Increment();
  s.computed.Increment(static_cast<double>(tokens));
  s.batch.Observe(seconds);
  s.widths.Observe(static_cast<double>(sequences));
}

void EncoderMetrics::answered(int status, std::string_view tenant) {
  state_->one_of(state_->http, "status", std::to_string(status)).Increment();
  if (!tenant.empty()) state_->one_of(state_->tenants, "tenant", std::string(tenant)).Increment();
}

std::string EncoderMetrics::text() { return state_->text(); }

}  // namespace hoist::serve
