#include "load/response_reader.h"

#include <algorithm>

#include "base/error.h"

namespace hoist::load {

namespace {

constexpr uint64_t kMaxBody = uint64_t{1} << 40;

[[noreturn]] void malformed(const char* what) { throw_corrupt(std::string("HTTP response: ") + what); }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equals_ignore_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r')) s.remove_suffix(1);
  return s;
}

// Digits of `base` only, at least one, at most kMaxBody.
bool whole_number(std::string_view text, uint64_t base, uint64_t& out) {
  out = 0;
  if (text.empty()) return false;
  for (const char raw : text) {
    const char c = lower(raw);
    const uint64_t digit = c >= '0' && c <= '9'   ? static_cast<uint64_t>(c - '0')
                           : c >= 'a' && c <= 'f' ? static_cast<uint64_t>(c - 'a' + 10)
                                                  : 99;
    if (digit >= base) return false;
    out = out * base + digit;
    if (out > kMaxBody) return false;
  }
  return true;
}

// Whether a list such as "Keep-Alive, Close" holds `word`.
bool list_has(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (equals_ignore_case(trim(list.substr(0, comma)), word)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace

size_t ResponseReader::feed(std::string_view bytes, FunctionRef<void(std::string_view)> body) {
  size_t used = 0;
  while (used < bytes.size() && state_ != State::kDone) {
    const std::string_view rest = bytes.substr(used);
    switch (state_) {
      case State::kHead: used += feed_head(rest); break;
      case State::kUntilClose:
        body(rest);
        used = bytes.size();
        break;
      case State::kFixed:
      case State::kData: {
        const size_t n = static_cast<size_t>(std::min<uint64_t>(left_, rest.size()));
        left_ -= n;
        used += n;
        if (left_ == 0) state_ = state_ == State::kFixed ? State::kDone : State::kDataEnd;
        body(rest.substr(0, n));
        break;
      }
      default: used += feed_line(rest);
    }
  }
  return used;
}

bool ResponseReader::end_of_input() {
  if (state_ == State::kUntilClose) state_ = State::kDone;
  return state_ == State::kDone;
}

size_t ResponseReader::feed_head(std::string_view bytes) {
  // The blank line may have begun in an earlier piece.
  const size_t before = block_.size(), from = before < 3 ? 0 : before - 3;
  block_ += bytes.substr(0, kMaxHead - head_bytes_ + 1);
  const size_t end = block_.find("\r\n\r\n", from);
  const size_t taken = end == std::string::npos ? block_.size() - before : end + 4 - before;
  head_bytes_ += taken;
  if (head_bytes_ > kMaxHead) malformed("its head is too long");
  if (end == std::string::npos) return taken;
  block_.resize(end + 2);
  parse_head();
  block_.clear();
  return taken;
}

void ResponseReader::parse_head() {
  std::string_view rest = block_;
  std::string_view line = rest.substr(0, rest.find("\r\n"));
  rest.remove_prefix(line.size() + 2);
  uint64_t status = 0;
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || (line[7] != '0' && line[7] != '1') ||
      line[8] != ' ' || !whole_number(line.substr(9, 3), 10, status) || status < 100 ||
      (line.size() > 12 && line[12] != ' '))
    malformed("no status line of HTTP/1.0 or 1.1");
  head_ = {};
  head_.status = static_cast<int>(status);
  head_.keep_alive = line[7] == '1';
  bool chunked = false, sized = false;
  uint64_t length = 0;
  while (!rest.empty()) {
    line = rest.substr(0, rest.find("\r\n"));
    rest.remove_prefix(line.size() + 2);
    const size_t colon = line.find(':');
    if (colon == line.npos || colon == 0) malformed("a header line without a name");
    const std::string_view name = line.substr(0, colon), value = trim(line.substr(colon + 1));
    if (equals_ignore_case(name, "content-length")) {
      uint64_t n = 0;
      if (!whole_number(value, 10, n) || (sized && n != length)) malformed("Content-Length is no one number");
      sized = true;
      length = n;
    } else if (equals_ignore_case(name, "transfer-encoding")) {
      if (!equals_ignore_case(value, "chunked")) malformed("a transfer coding other than chunked");
      chunked = true;
    } else if (equals_ignore_case(name, "connection")) {
      if (list_has(value, "close")) head_.keep_alive = false;
      if (list_has(value, "keep-alive")) head_.keep_alive = true;
    } else if (equals_ignore_case(name, "content-type")) {
      head_.content_type = trim(value.substr(0, value.find(';')));
      std::transform(head_.content_type.begin(), head_.content_type.end(), head_.content_type.begin(), lower);
    }
  }
  if (status == 101) malformed("a change of protocol that nobody asked for");
  if (status < 200) return;  // interim: the head of the answer follows
  if (status == 204 || status == 304) {
    state_ = State::kDone;
  } else if (chunked) {
    if (sized) malformed("Content-Length with Transfer-Encoding");
    state_ = State::kSize;
  } else if (sized) {
    left_ = length;
    state_ = length ? State::kFixed : State::kDone;
  } else {
    head_.keep_alive = false;
    state_ = State::kUntilClose;
  }
}

size_t ResponseReader::feed_line(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  const size_t taken = end == bytes.npos ? bytes.size() : end + 1;
  const size_t limit = state_ == State::kTrailer ? kMaxTrailers : kMaxLine;
  if (block_.size() + taken > limit) malformed("a line of its chunks is too long");
  block_ += bytes.substr(0, taken);
  if (end == bytes.npos) return taken;
  on_line();
  block_.clear();
  return taken;
}

void ResponseReader::on_line() {
  if (!block_.ends_with("\r\n")) malformed("bare line feed in its chunks");
  const std::string_view line = std::string_view(block_).substr(0, block_.size() - 2);
  switch (state_) {
    case State::kSize:
      if (!whole_number(trim(line.substr(0, line.find(';'))), 16, left_))
        malformed("a chunk without its size in hexadecimal");
      state_ = left_ ? State::kData : State::kTrailer;
      break;
    case State::kDataEnd:
      if (!line.empty()) malformed("a chunk longer than its size");
      state_ = State::kSize;
      break;
    default:
      trailer_bytes_ += block_.size();
      if (trailer_bytes_ > kMaxTrailers) malformed("its trailers are too long");
      if (line.empty()) state_ = State::kDone;
  }
}

}  // namespace hoist::load
