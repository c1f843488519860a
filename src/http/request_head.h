// Parsing and judging one request's head. Internal to http/; Beast's parser does the grammar, the rest is
// ours.
//
// Promises: the verdict depends on the bytes alone, never on how they were cut into packets: a head is parsed
// only when whole. A request that two parsers could frame differently (Content-Length with Transfer-Encoding,
// either doubled or a list, a coding other than chunked) is refused.
#pragma once

#include <string_view>

#include "http/body_reader.h"
#include "http/message.h"
#include "http/server.h"

namespace hoist::http {

struct RequestHead {
  Request request;  // its body is still to be read
  BodyReader body;
  bool keep_alive = false;
  bool http10 = false;
  bool wants_continue = false;  // the client waits for "100 Continue" before it sends the body
};

// `block` ends with the blank line. Throws ApiError.
RequestHead parse_request_head(std::string_view block, const ServerOptions& options);

}  // namespace hoist::http
