// Any bytes as the body of the routes that generate or encode, and as an HTTP request on the wire. What is
// accepted is in range and the refusals are ApiErrors; how the wire is cut into packets changes nothing.
// Links: http io
#include <algorithm>

#include "base/check.h"
#include "http/api_error.h"
#include "http/body_reader.h"
#include "http/chat_request.h"
#include "http/completion_request.h"
#include "http/encoder_request.h"
#include "http/infill_request.h"
#include "http/request_head.h"

using namespace hoist;
using namespace hoist::http;

namespace {

void check_body(std::string_view text, CompletionsCall (*parse)(std::string_view, size_t)) {
  const bool chat = parse == parse_chat_call, infill = parse == parse_infill_call;
  CompletionsCall call;
  try {
    call = parse(text, 1 << 20);
  } catch (const ApiError& error) {
    HOIST_CHECK(error.status == 400 && !error.message.empty(), "a refusal says why");
    error_json(error);
    return;
  }
  HOIST_CHECK(!call.sequences.empty() && call.sequences.size() <= CompletionsCall::kMaxPrompts, "prompts");
  for (const CompletionRequest& r : call.sequences) {
    HOIST_CHECK(r.max_tokens >= (infill || call.echo || r.prompt_logprobs >= 0 ? 0 : 1),
                "something to answer");
    HOIST_CHECK(r.prompt_logprobs >= -1 && r.prompt_logprobs <= 20, "range");
    HOIST_CHECK(infill == call.infill && (!infill || r.suffix), "filling in has two sides");
    HOIST_CHECK(r.temperature >= 0 && r.temperature <= 100, "range");
    HOIST_CHECK(r.top_p > 0 && r.top_p <= 1 && r.min_p >= 0 && r.min_p <= 1 && r.top_k >= 0, "range");
    HOIST_CHECK(r.repeat_penalty >= 0.01 && r.repeat_penalty <= 100, "range");
    HOIST_CHECK(r.n >= 1 && r.n <= CompletionsCall::kMaxChoices && r.logprobs >= -1 && r.logprobs <= 20,
                "range");
    HOIST_CHECK(r.min_tokens >= 0 && r.min_tokens <= r.max_tokens, "range");
    HOIST_CHECK(chat == (r.chat != nullptr), "a chat has a conversation");
    for (const auto& [id, bias] : r.logit_bias) HOIST_CHECK(id >= 0 && bias >= -100 && bias <= 100, "bias");
    HOIST_CHECK(r.stop.size() <= CompletionsCall::kMaxStops, "stops");
    for (const std::string& stop : r.stop) HOIST_CHECK(!stop.empty(), "an empty stop string never ends");
    for (const int64_t id : r.prompt_ids) HOIST_CHECK(id >= 0, "ids");
  }
}

void check_encoder_body(std::string_view text) {
  for (const auto route : {EncoderCall::Route::kEmbeddings, EncoderCall::Route::kRerank,
                           EncoderCall::Route::kScore, EncoderCall::Route::kClassify}) {
    try {
      const EncoderCall call = parse_encoder_call(route, text, 1 << 20);
      HOIST_CHECK(call.inputs.size() + call.right.size() >= 1, "something to compute");
      HOIST_CHECK(
          call.inputs.size() <= EncoderCall::kMaxInputs && call.right.size() <= EncoderCall::kMaxInputs,
          "inputs");
      HOIST_CHECK(call.right.empty() || call.left.size() == 1 || call.left.size() == call.right.size(),
                  "pairs");
      HOIST_CHECK(call.top_n >= 1 && (!call.dimensions || *call.dimensions >= 1), "range");
    } catch (const ApiError& error) {
      HOIST_CHECK(error.status == 400 && !error.message.empty(), "a refusal says why");
    }
  }
}

// The body, or the status that refuses it, with `step` bytes at a time.
std::string read_body(BodyReader reader, std::string_view wire, size_t step) {
  try {
    while (!wire.empty() && !reader.complete()) wire.remove_prefix(reader.feed(wire.substr(0, step)));
    return reader.complete() ? "body " + reader.take() + "|" + std::string(wire) : "incomplete";
  } catch (const ApiError& error) {
    return std::to_string(error.status);
  }
}

void check_wire(std::string_view wire) {
  const size_t end = wire.find("\r\n\r\n");
  if (end == std::string_view::npos) return;
  ServerOptions options;
  options.max_body_bytes = 1000;
  RequestHead head;
  try {
    head = parse_request_head(wire.substr(0, end + 4), options);
  } catch (const ApiError& error) {
    HOIST_CHECK(error.status >= 400 && error.status < 600 && error.status != 500, "a refusal has a status");
    return;
  }
  HOIST_CHECK(head.request.path.starts_with('/'), "path");
  for (const unsigned char c : head.request.path)
    HOIST_CHECK(c >= 0x20 && c != 0x7f, "control character in a path");
  HOIST_CHECK(head.request.headers.size() <= 100, "headers");
  const std::string_view rest = wire.substr(end + 4);
  HOIST_CHECK(read_body(head.body, rest, rest.size()) == read_body(head.body, rest, 1), "packets matter");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    constexpr decltype(&parse_chat_call) kParsers[] = {parse_completions_call, parse_chat_call,
                                                       parse_infill_call};
    check_body(text, kParsers[data[0] / 2 % 3]);
    check_encoder_body(text);
  } else {
    check_wire(text);
  }
  return 0;
}
