// The body of POST /v1/chat/completions, checked whole before anything is generated, and the conversation in
// it, which other routes take as well.
//
// Messages come out as chat templates expect them: the content is one string (text parts are joined with line
// ends, nothing is ""), the arguments of earlier tool calls are objects. Other members pass through to the
// template. Source: OpenAI API reference, chat; continue_final_message, add_generation_prompt and
// chat_template_kwargs as vLLM has them.
#pragma once

#include <string_view>

#include "http/completion_request.h"
#include "io/json.h"

namespace hoist::http {

// Throws ApiError(400) with the field in `param`.
CompletionsCall parse_chat_call(std::string_view body, size_t max_bytes);

// The fields of a conversation, one by one; then finish().
class ConversationReader {
 public:
  // False for a field of another kind. Throws Error.
  bool read(std::string_view key, const io::Json& value);
  // Throws ApiError(400) for what fields say of each other.
  ChatPrompt finish();

 private:
  ChatPrompt chat_;
  bool has_messages_ = false, chose_ = false, assistant_last_ = false;
  std::string choice_name_;
  std::vector<std::pair<std::string, std::string>> variables_;  // each a JSON text
};

}  // namespace hoist::http
