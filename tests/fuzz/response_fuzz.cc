// Any bytes as an HTTP response and as an event stream. How they are cut into packets changes nothing, and
// refusals are Errors.
// Links: load sim sched report io
#include "base/check.h"
#include "base/error.h"
#include "load/answer.h"
#include "load/http_client.h"

using namespace hoist;
using namespace hoist::load;

namespace {

// All there is to tell of the response, or the error; what a broken one gave before it broke does not count.
std::string read(std::string_view wire, size_t step) {
  ResponseReader reader;
  AnswerReader answer;
  size_t body = 0, used = 0;
  try {
    while (!wire.empty() && !reader.complete()) {
      const size_t n = reader.feed(wire.substr(0, step), [&](std::string_view piece) {
        body += piece.size();
        answer.on_body(reader.head(), piece, 1);
      });
      HOIST_CHECK(n == std::min(step, wire.size()) || reader.complete(), "all is used");
      used += n;
      wire.remove_prefix(n);
    }
    const bool complete = reader.end_of_input();
    if (complete) answer.on_end(reader.head(), 2);
    const Answer& a = answer.answer();
    HOIST_CHECK(a.pieces >= 0 && a.prompt_tokens >= -1 && a.completion_tokens >= -1, "counts");
    return std::to_string(used) + " " + std::to_string(body) + " " + std::to_string(complete) + " " +
           std::to_string(a.status) + " " + std::to_string(a.pieces) + " " + std::to_string(a.tokens()) +
           " " + a.error;
  } catch (const Error& e) {
    return e.what();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  HOIST_CHECK(read(text, size + 1) == read(text, 1), "packets matter");
  HOIST_CHECK(read(text, size + 1) == read(text, 7), "packets matter");
  // Most inputs break before their body: the stream alone, too.
  const std::string stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + std::string(text);
  HOIST_CHECK(read(stream, stream.size()) == read(stream, 3), "packets matter");
  try {
    const Url url = parse_url(std::string(text), "fuzz");
    HOIST_CHECK(!url.host.empty() && url.port > 0, "url");
  } catch (const Error& e) {
    HOIST_CHECK(std::string_view(e.what()).starts_with("fuzz"), "a refusal names its source");
  }
  return 0;
}
