// Preparer: from a request as the API has it to sequences for the engine - templates rendered, texts
// tokenized, grammars compiled, numbers checked against the model.
//
// Any number of threads may prepare at once.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "decode/chat_source.h"
#include "decode/engine.h"
#include "decode/text_stream.h"
#include "http/completion_engine.h"
#include "serve/answer_parser.h"
#include "serve/constraints.h"
#include "serve/infill.h"

namespace hoist::serve {

struct Prepared {
  std::vector<decode::SequenceRequest> sequences;  // one per choice
  decode::TextStreamOptions stream;
  std::optional<AnswerStyle> style;  // of chats
  bool silent = false;               // the prompt is read and nothing said: one token, which nobody sees
  size_t unwritten = 0;              // tokens in front of a prompt that its text does not hold
  bool bare_start = false;           // nor a space before the next one's word
  std::string prompt_text;           // of ids that are echoed
};

class Preparer {
 public:
  // `model` outlives this. `longest`: tokens of prompt and answer together; `context`: the same, as clients
  // know it.
  Preparer(const decode::Model& model, int64_t context, int64_t longest);

  // Throws what CompletionEngine::submit does.
  Prepared prepare(http::CompletionRequest request);
  http::TokenizeResult tokenize(const http::TokenizeRequest& request) const;
  http::TokenizeResult detokenize(const std::vector<int64_t>& ids) const;
  std::string token_bytes(int32_t id) const;  // a special token's name

  bool chat() const { return source_.chat.has_value(); }
  bool infill() const { return infill_.has_value(); }
  const Constraints& constraints() const { return constraints_; }

 private:
  std::string render(const http::ChatPrompt& chat) const;
  std::vector<int32_t> prompt_of(const http::CompletionRequest& r, Prepared& out);
  void constrain(const http::CompletionRequest& r, int64_t room, Prepared& out);
  int32_t check_id(int64_t id, const char* field) const;

  const decode::Model& model_;
  const int64_t context_, longest_;
  const decode::ChatSource source_;
  const std::optional<InfillTokens> infill_;
  Constraints constraints_;
};

}  // namespace hoist::serve
