// Takes a request body off the wire: a known length, or chunks (RFC 9112 section 7.1). Internal to http/.
//
// Written by us because Beast 1.74 asserts on a last chunk that arrives byte by byte, and because it lets
// chunk extensions and trailers grow with the packets they come in. One byte drives one state, so how the
// bytes were cut cannot matter. Extensions and trailers are read, bounded and dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hoist::http {

class BodyReader {
 public:
  static constexpr size_t kMaxLine = 1 << 10;  // a chunk's size with its extensions
  static constexpr size_t kMaxTrailers = 8 << 10;

  BodyReader() = default;  // no body
  static BodyReader fixed(uint64_t length, size_t max_bytes);
  static BodyReader chunked(size_t max_bytes);

  // Returns how many bytes belong to the body. Throws ApiError 400 (framing) or 413.
  size_t feed(std::string_view bytes);
  bool complete() const { return state_ == State::kDone; }
  std::string take() { return std::move(body_); }

 private:
  enum class State {
    kDone,
    kFixed,
    kSize,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailer,
    kTrailerLine,
    kTrailerLf,
    kLastLf
  };
  void step(char c);
  void after_size_line();
  [[noreturn]] void fail(const char* what) const;
  void check_size(uint64_t more) const;

  State state_ = State::kDone;
  uint64_t left_ = 0;  // of the fixed body or the current chunk
  size_t line_ = 0;    // bytes of the current size line, or of all trailers
  bool digits_ = false;
  size_t max_bytes_ = 0;
  std::string body_;
};

}  // namespace hoist::http
