// What one answer of a completions server tells a load generator: when its text came, and how much it was.
//
// Reads both shapes, text completions ("text") and chat ("delta": {"content"}), streamed or whole, as vLLM,
// SGLang, llama-server and Hoist write them. What cannot be understood becomes `error`, never an exception.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "load/event_stream.h"
#include "load/response_reader.h"

namespace hoist::load {

struct Answer {
  int status = 0;                // of HTTP; 0: none came
  double first = -1, last = -1;  // when the first and the last piece of text came; -1: none
  int64_t pieces = 0;            // events with text
  int64_t prompt_tokens = -1, completion_tokens = -1;  // what "usage" says; -1: nothing
  bool finished = false;                               // a finish_reason came
  std::string error;                                   // why it is no good; empty: it is

  bool good() const { return status == 200 && finished && error.empty(); }
  // Tokens of the answer: as "usage" says, else one for each piece.
  int64_t tokens() const { return completion_tokens >= 0 ? completion_tokens : pieces; }
};

class AnswerReader {
 public:
  // Bytes of a body that belongs to `head`, received at `now` (seconds on any one clock).
  void on_body(const ResponseHead& head, std::string_view bytes, double now);
  // The body is complete.
  void on_end(const ResponseHead& head, double now);
  void fail(std::string why);
  const Answer& answer() const { return answer_; }
  // Of a whole answer: its body. Cut at kMaxBody.
  const std::string& body() const { return body_; }

 private:
  static constexpr size_t kMaxBody = 64 << 20;
  void on_event(std::string_view data, double now);
  void on_json(std::string_view text, double now);
  void on_text(double now);

  Answer answer_;
  EventStream events_;
  std::string body_;
};

}  // namespace hoist::load
