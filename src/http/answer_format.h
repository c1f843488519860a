// The fields that ask for an answer within a format: response_format, grammar, regex, json_schema, vLLM's
// guided_* and structured_outputs. What they hold is compiled behind the CompletionEngine.
#pragma once

#include <string_view>

#include "http/completion_engine.h"
#include "io/json.h"

namespace hoist::http {

bool is_format_field(std::string_view key);
// kFree when the field asks for nothing. Throws Error.
AnswerFormat read_format(std::string_view key, const io::Json& value);

}  // namespace hoist::http
