// The body of POST /infill, as llama-server has it: checked whole before anything is generated.
//
// Promises: as completion_request.h; what clients of llama-server send along as hints is taken and has no
// effect, which the table of fields says (request_fields.h).
#pragma once

#include <string_view>

#include "http/completion_request.h"

namespace hoist::http {

// Throws ApiError(400) with the field in `param`.
CompletionsCall parse_infill_call(std::string_view body, size_t max_bytes);

}  // namespace hoist::http
