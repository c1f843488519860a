// The OpenAI-compatible API over a CompletionEngine.
//
//   POST /v1/completions       text completion, whole or streamed as server-sent events
//   POST /v1/chat/completions  the same of a conversation; 501 for a model without a chat template
//   POST /infill               what belongs between two texts; 501 for a vocabulary without tokens for it
//   GET  /v1/models, /v1/models/{id}
//   GET  /health               200 {"status":"ok"}; 503 while loading or draining. Needs no key.
//   GET  /ready                the same, and 503 while the engine makes no progress
//   POST /tokenize, ...        token_routes.h
//   GET  /openapi.json         openapi.h
//
// A stream's head is sent once the engine has taken all its prompts, so that whatever it refuses has a status
// of its own; what goes wrong later is an event in the stream.
//
// Threading: routes run on the server's io thread; the engine's events are posted to it. The engine must
// outlive the server's serve(), and so must this object.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "http/completion_engine.h"
#include "http/completion_request.h"
#include "http/server.h"
#include "http/token_routes.h"

namespace hoist::http {

class ApiError;

class CompletionsApi {
 public:
  CompletionsApi(CompletionEngine& engine, Server& server,
                 size_t max_body_bytes = ServerOptions{}.max_body_bytes);
  ~CompletionsApi();
  void add_routes(Router& router);  // which outlives the server's serve(), too

 private:
  struct Job;
  void complete(CompletionsCall call, uint64_t scope, const ExchangePtr& exchange);
  void submit_all(Job& job, CompletionsCall& call);
  void on_event(uint64_t job_id, size_t sequence, CompletionEvent event);
  void take(Job& job, size_t sequence, CompletionEvent event);
  void on_cancel(uint64_t job_id, CancelReason reason);
  void fail(Job& job, const ApiError& error);
  void finish(Job& job);
  void cancel_sequences(const Job& job);
  void report_state(const ExchangePtr& exchange, bool progress_counts) const;

  CompletionEngine& engine_;
  Server& server_;
  TokenRoutes tokens_;
  const Poster poster_;
  const size_t max_body_bytes_;
  const uint64_t id_seed_;
  uint64_t next_job_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<Job>> jobs_;  // answers under way
};

// Refuses a body that says it is no JSON: ApiError 415.
void check_content_type(const Request& request);

// The model or adapter of that name; throws ApiError(404) naming those there are.
ModelInfo check_served(const CompletionEngine& engine, const std::string& asked);

}  // namespace hoist::http
