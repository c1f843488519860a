// See body_reader.h.
#include "http/body_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "http/api_error.h"

namespace hoist::http {

BodyReader BodyReader::fixed(uint64_t length, size_t max_bytes) {
  BodyReader reader;
  reader.max_bytes_ = max_bytes;
  reader.check_size(length);
  reader.left_ = length;
  reader.state_ = length ? State::kFixed : State::kDone;
  return reader;
}

BodyReader BodyReader::chunked(size_t max_bytes) {
  BodyReader reader;
  reader.max_bytes_ = max_bytes;
  reader.state_ = State::kSize;
  return reader;
}

void BodyReader::check_size(uint64_t more) const {
  if (more > max_bytes_ || body_.size() > max_bytes_ - more)
    throw ApiError(413, fmt::format("request body is too large: expected at most {} bytes", max_bytes_), "",
                   "body_too_large");
}

void BodyReader::fail(const char* what) const {
  throw ApiError(400, std::string("malformed HTTP request: chunked body: ") + what, "", "malformed_http");
}

size_t BodyReader::feed(std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size() && state_ != State::kDone) {
    if (state_ == State::kFixed || state_ == State::kData) {
      const size_t n = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size() - used));
      body_.append(bytes.substr(used, n));
      used += n;
      left_ -= n;
      if (left_ == 0) state_ = state_ == State::kFixed ? State::kDone : State::kDataCr;
    } else {
      step(bytes[used++]);
    }
  }
  return used;
}

void BodyReader::step(char c) {
  switch (state_) {
    case State::kSize: {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (++line_ > kMaxLine) fail("size line is too long");
      if (digit >= 0) {
        digits_ = true;
        left_ = left_ * 16 +
                static_cast<uint64_t>(digit);  // cannot overflow: checked against the limit each time
        check_size(left_);
      } else if (!digits_) {
        fail("expected a size in hexadecimal");
      } else if (c == '\r') {
        state_ = State::kSizeLf;
      } else if (c == ';' || c == ' ' || c == '\t') {
        state_ = State::kExtension;
      } else {
        fail("expected a size in hexadecimal");
      }
      return;
    }
    case State::kExtension:
      if (++line_ > kMaxLine) fail("size line is too long");
      if (c == '\n') fail("bare line feed");
      if (c == '\r') state_ = State::kSizeLf;
      return;
    case State::kSizeLf:
      if (c != '\n') fail("bare carriage return");
      return after_size_line();
    case State::kDataCr:
      if (c != '\r') fail("chunk is longer than its size");
      state_ = State::kDataLf;
      return;
    case State::kDataLf:
      if (c != '\n') fail("bare carriage return");
      state_ = State::kSize;
      return;
    case State::kTrailer:
      if (++line_ > kMaxTrailers) fail("trailers are too long");
      if (c == '\n') fail("bare line feed");
      state_ = c == '\r' ? State::kLastLf : State::kTrailerLine;
      return;
    case State::kTrailerLine:
      if (++line_ > kMaxTrailers) fail("trailers are too long");
      if (c == '\n') fail("bare line feed");
      if (c == '\r') state_ = State::kTrailerLf;
      return;
    case State::kTrailerLf:
      if (c != '\n') fail("bare carriage return");
      state_ = State::kTrailer;
      return;
    case State::kLastLf:
      if (c != '\n') fail("bare carriage return");
      state_ = State::kDone;
      return;
    case State::kDone:
    case State::kFixed:
    case State::kData: return;
  }
}

void BodyReader::after_size_line() {
  line_ = 0;
  digits_ = false;
  state_ = left_ ? State::kData : State::kTrailer;
}

}  // namespace hoist::http
