#include "data/json_items.h"

#include "base/error.h"

namespace hoist::data {

void JsonItems::fail(const std::string& what) const {
  throw_corrupt(source_ + ":" + std::to_string(lines_.line_number()) + ": " + what);
}

// Moves to the next '{'; false at the end of the file.
bool JsonItems::skip_to_object() {
  while (true) {
    for (; at_ < line_.size(); ++at_) {
      const char c = line_[at_];
      if (c == ' ' || c == '\t' || c == '\r' || (c == ',' && array_ && any_ && !closed_)) continue;
      if (c == '{' && !closed_) return true;
      if (c == '[' && !array_ && !any_) {
        array_ = true;
      } else if (c == ']' && array_ && !closed_) {
        closed_ = true;
      } else {
        fail(std::string("found '") + c + "', expected an object" +
             (closed_ ? " or nothing behind the list" : ""));
      }
    }
    std::string_view line;
    if (!lines_.next(line)) {
      if (array_ && !closed_) fail("the list is cut short");
      return false;
    }
    line_ = line;
    at_ = 0;
  }
}

bool JsonItems::next(std::string& item) {
  item.clear();
  if (!skip_to_object()) return false;
  any_ = true;
  begin_ = lines_.line_number();
  int64_t depth = 0;
  bool in_text = false, escaped = false;
  while (true) {
    for (size_t from = at_; at_ < line_.size(); ++at_) {
      const char c = line_[at_];
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
        item.append(line_, from, ++at_ - from);
        return true;
      }
      if (at_ + 1 == line_.size()) item.append(line_, from, line_.size() - from);
    }
    if (item.size() > LineReader::kMaxLine)
      fail("found an object of more than " + std::to_string(LineReader::kMaxLine) + " bytes");
    item += '\n';
    std::string_view line;
    if (!lines_.next(line)) fail("an object is cut short");
    line_ = line;
    at_ = 0;
  }
}

}  // namespace hoist::data
