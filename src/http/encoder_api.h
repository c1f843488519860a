// Embeddings, reranking, scores and classes over an EncoderEngine.
//
//   POST /v1/embeddings         vectors of texts or token lists (OpenAI)
//   POST /v1/rerank, /rerank    documents by relevance to a query (Jina, Cohere)
//   POST /v1/score              relevance of pairs of texts
//   POST /v1/classify, /classify  label and probabilities of texts
//   GET  /v1/models, /v1/models/{id}
//   GET  /health, /ready        200 {"status":"ok"}; 503 while draining
//
// Relevance is the logistic function of the score of a head with one label, or, for a model without a head,
// the cosine of the two vectors. Threading: as CompletionsApi.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "http/encoder_engine.h"
#include "http/encoder_request.h"
#include "http/server.h"

namespace hoist::http {

class ApiError;

class EncoderApi {
 public:
  EncoderApi(EncoderEngine& engine, Server& server, size_t max_body_bytes = ServerOptions{}.max_body_bytes);
  ~EncoderApi();
  void add_routes(Router& router);

 private:
  struct Job;
  using Render = std::function<std::string(const std::vector<EncodeResult>&)>;
  EncoderCall read(EncoderCall::Route route, const Request& request) const;
  void embeddings(const Request& request, const ExchangePtr& exchange);
  void classify(const Request& request, const ExchangePtr& exchange);
  void relevance(EncoderCall::Route route, const Request& request, const ExchangePtr& exchange);
  // Submits all; when the last is done, `render` makes the answer's body. `field` is to blame for a sequence
  // that is too long.
  void run(std::vector<EncodeRequest> requests, const char* field, const ExchangePtr& exchange,
           Render render);
  void on_result(uint64_t job, size_t index, EncodeResult result);
  void on_cancel(uint64_t job, CancelReason reason);
  void cancel_all(const Job& job);
  void check_model(const std::string& asked) const;

  EncoderEngine& engine_;
  Server& server_;
  const Poster poster_;
  const size_t max_body_bytes_;
  uint64_t next_job_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<Job>> jobs_;  // answers under way
};

}  // namespace hoist::http
