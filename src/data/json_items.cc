#include "data/json_items.h"

#include "base/error.h"

namespace hoist::data {

void JsonItems::fail(const std::string& what) const {
  throw_corrupt(path_ + ":" + std::to_string(line_) + ": " + what);
}

bool JsonItems::refill() {
  piece_.clear();
  at_ = 0;
  const bool more = reader_.read(piece_);
  if (more && !begun_ && piece_.starts_with("\xef\xbb\xbf")) at_ = 3;
  begun_ = true;
  return more;
}

// Moves to the next '{'; false at the end of the file.
bool JsonItems::skip_to_object() {
  do {
    for (; at_ < piece_.size(); ++at_) {
      const char c = piece_[at_];
      line_ += c == '\n';
      if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
      if (c == ',' && array_ && any_ && !closed_) continue;
      if (c == '{' && !closed_) return true;
      if (c == '[' && !array_ && !any_) {
        array_ = true;
      } else if (c == ']' && array_ && !closed_) {
        closed_ = true;
      } else {
        fail(std::string("found '") + c + "', expected " +
             (closed_ ? "nothing behind the list" : "an object"));
      }
    }
  } while (refill());
  if (array_ && !closed_) fail("the list is cut short");
  return false;
}

bool JsonItems::next(std::string& item) {
  item.clear();
  if (!skip_to_object()) return false;
  any_ = true;
  begin_ = line_;
  int64_t depth = 0;
  bool in_text = false, escaped = false;
  do {
    const size_t from = at_;
    for (; at_ < piece_.size(); ++at_) {
      const char c = piece_[at_];
      line_ += c == '\n';
      if (in_text) {
        if (escaped)
          escaped = false;
        else if (c == '\\')
          escaped = true;
        else if (c == '"')
          in_text = false;
      } else if (c == '"') {
        in_text = true;
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if ((c == '}' || c == ']') && --depth == 0) {
        ++at_;
        item.append(piece_, from, at_ - from);
        return true;
      }
    }
    item.append(piece_, from, at_ - from);
    if (item.size() > kMaxItem) fail("found an object of more than " + std::to_string(kMaxItem) + " bytes");
  } while (refill());
  fail("an object is cut short");
}

}  // namespace hoist::data
