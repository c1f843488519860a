// What a server counts, in the text format that Prometheus reads.
//
// Names and meanings follow vLLM's, with our prefix: hoist:num_requests_running, hoist:kv_cache_usage_perc,
// hoist:time_to_first_token_seconds, ... (docs/operating.md lists them). Threading: any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "serve/engine_load.h"

namespace hoist::serve {

class Metrics {
 public:
  explicit Metrics(const std::string& model_name);
  ~Metrics();

  // The life of one sequence, in this order; ended() whatever came before.
  void queued();
  void started(double ttft, int64_t prompt_tokens, int64_t cached_tokens);  // its first token came
  void generated(int64_t tokens, int64_t rows);  // rows: of steps, that these tokens needed
  void refused();                                // after queued(): the engine did not take it
  // `reason`: "stop", "length", "error" or "abort" (its client left). `started` as above; tpot < 0: it has
  // none.
  void ended(std::string_view reason, bool started, double seconds, double tpot, int64_t prompt_tokens,
             int64_t tokens);

  // One HTTP request, of nobody or a tenant; status 0: its client left before an answer.
  void answered(int status, std::string_view tenant = {});
  void set_stalled(bool stalled);

  // All of it. `load` fills in what only the engine knows.
  std::string text(const EngineLoad& load);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hoist::serve
