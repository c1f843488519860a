// Text to tokens and back.
//
//   POST /tokenize        {content} as llama-server has it: {"tokens"}; {prompt} or {messages} as vLLM has
//   it:
//                         {"count", "max_model_len", "tokens"}
//   POST /detokenize      {tokens}: the text, under both their names
//   POST /apply-template  {messages, tools, ...}: {"prompt"}, what the chat template makes of them
//
// Threads as in completions.h.
#pragma once

#include "http/completion_engine.h"
#include "http/server.h"

namespace hoist::http {

class TokenRoutes {
 public:
  // `engine` outlives the server's serve(), and so does this.
  TokenRoutes(CompletionEngine& engine, Server& server, size_t max_body_bytes);
  void add_routes(Router& router);

 private:
  void tokenize(const Request& request, const ExchangePtr& exchange);
  void detokenize(const Request& request, const ExchangePtr& exchange);
  void apply_template(const Request& request, const ExchangePtr& exchange);

  CompletionEngine& engine_;
  const Poster poster_;
  const size_t max_body_bytes_;
};

}  // namespace hoist::http
