// The fields that requests for text share - sampling, stops, output formats, streaming - and the table of all
// fields, from which the API's description is made.
//
// Promises: every field of the table is obeyed or refused by name, null means absent, and what is not in the
// table is refused. Sources: OpenAI API reference; further names as llama-server and vLLM have them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "http/completion_request.h"
#include "io/json.h"

namespace hoist::http {

struct RequestField {
  enum Where : unsigned { kCompletions = 1, kChat = 2, kBoth = 3, kInfill = 4, kAll = 7 };
  const char* name;
  Where where;
  bool required;
  const char* schema;  // JSON schema of its value, null aside, with a description
};
std::span<const RequestField> request_fields();

// A request while it is read: the call, what all its sequences share, and which spelling of a field came.
struct RequestReader {
  RequestField::Where where;
  CompletionsCall call;
  CompletionRequest shared;
  std::string repeat_key, format_key, limit_key;
  int64_t best_of = 0, top_logprobs = -1;

  // False for a field that is not shared.
  bool read(std::string_view key, const io::Json& value);
  // What fields say of each other. Throws ApiError(400).
  void check() const;
};

// Calls `read` for each member that is not null, or required. Throws ApiError(400): the body is no JSON
// object, or with the field in `param` what `read` threw.
void read_body(std::string_view body, size_t max_bytes, RequestField::Where where,
               const std::function<void(std::string_view key, const io::Json& value)>& read);

[[noreturn]] void refuse_field(std::string_view field, std::string_view message,
                               std::string code = "invalid_argument");

}  // namespace hoist::http
