// Takes an HTTP/1.1 response off the wire: head, then a body of known length, in chunks, or until the close.
//
// Source: RFC 9112. Written for a client that measures: one pass, no copy of the body, and bounds on all that
// a server could make grow (head, size lines, trailers). How the bytes were cut into packets cannot matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/function_ref.h"

namespace hoist::load {

struct ResponseHead {
  int status = 0;
  bool keep_alive = true;
  std::string content_type;  // in lower case, without parameters
};

class ResponseReader {
 public:
  static constexpr size_t kMaxHead = 64 << 10;  // all interim heads too
  static constexpr size_t kMaxLine = 1 << 10;   // a chunk's size with its extensions
  static constexpr size_t kMaxTrailers = 16 << 10;

  // Returns how many of `bytes` belong to this response, and passes its body on in pieces. Throws
  // Error(kCorrupt) saying what is malformed.
  size_t feed(std::string_view bytes, FunctionRef<void(std::string_view)> body);
  // The connection has ended. False when the response is cut short.
  bool end_of_input();

  bool head_complete() const { return state_ != State::kHead; }
  const ResponseHead& head() const { return head_; }
  bool complete() const { return state_ == State::kDone; }
  bool started() const { return !block_.empty() || head_complete(); }

 private:
  enum class State { kHead, kFixed, kUntilClose, kSize, kData, kDataEnd, kTrailer, kDone };
  size_t feed_head(std::string_view bytes);
  size_t feed_line(std::string_view bytes);  // a size line, the end of a chunk, or a trailer
  void parse_head();
  void on_line();

  State state_ = State::kHead;
  ResponseHead head_;
  std::string block_;  // the head so far, or the current line
  size_t head_bytes_ = 0, trailer_bytes_ = 0;
  uint64_t left_ = 0;  // of the fixed body or the current chunk
};

}  // namespace hoist::load
