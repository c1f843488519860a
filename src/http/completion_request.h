// The body of POST /v1/completions, checked whole before anything is generated.
//
// Promises: every field is either obeyed or refused by name (request_fields.h); every number is in range.
// Source: OpenAI API reference, completions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/completion_engine.h"

namespace hoist::http {

// A request for text: of completions, or of a chat (chat_request.h).
struct CompletionsCall {
  static constexpr int64_t kMaxPrompts = 64, kMaxChoices = 128;
  static constexpr int64_t kMaxStops = 4;
  static constexpr size_t kMaxStopBytes = 1024, kMaxBiases = 1024;

  std::optional<std::string> model;
  std::vector<CompletionRequest> sequences;  // one per prompt, in order; at least one
  bool chat = false;                         // then exactly one, with a chat prompt
  bool infill = false;                       // then exactly one, with a suffix
  bool stream = false;
  bool include_usage = false;           // stream: one more chunk with the sum
  bool continuous_usage_stats = false;  // stream: every chunk has its choice's usage so far
  int64_t prompt_logprobs = -1;         // as the field says; echo may ask sequences for more
  bool echo = false;                    // answers begin with the prompt
};

// Throws ApiError(400) with the field in `param`.
CompletionsCall parse_completions_call(std::string_view body, size_t max_bytes);

}  // namespace hoist::http
