#include "serve/call_scanner.h"

#include "base/error.h"
#include "io/json.h"

namespace hoist::serve {
namespace {

// The text of a JSON string with its quotes; false: not one.
bool unquote(const std::string& json, std::string& out) {
  try {
    // Alone a string is no document of ours to trust: in a list it is.
    const auto document = io::JsonDocument::parse("[" + json + "]", "tool call");
    if (document.root().size() != 1) return false;
    out = (*document.root().elements().begin()).as_string();
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool about_arguments(const std::string& key) { return key == "\"arguments\"" || key == "\"parameters\""; }

}  // namespace

// What has been read is a whole value; false: not what its key calls for.
bool CallScanner::end_value() {
  streaming_ = false;
  if (key_ == "\"name\"") {
    std::string name;
    if (named() || !unquote(value_, name) || name.empty() || name.size() > kMaxName) return false;
    name_ = std::move(name);
  } else if (about_arguments(key_)) {
    if (value_.starts_with("\"")) {  // some models write the object as a string
      if (!unquote(value_, arguments_)) return false;
    } else if (value_ == "null") {
      arguments_ = "{}";
    } else if (!value_.empty()) {
      return false;
    }
    has_arguments_ = true;
  }
  value_.clear();
  return true;
}

void CallScanner::take(char c) {
  switch (at_) {
    case At::kBegin:
      if (c == '{')
        at_ = At::kKeyOrEnd;
      else if (!is_blank(c))
        fail();
      return;
    case At::kKeyOrEnd:
    case At::kKey:
      if (c == '"') {
        key_ = "\"";
        at_ = At::kKeyText;
      } else if (!is_blank(c)) {
        fail();  // an empty object is no call either
      }
      return;
    case At::kKeyText:
      key_ += c;
      if (key_.size() > kMaxName) return fail();
      if (escaped_)
        escaped_ = false;
      else if (c == '\\')
        escaped_ = true;
      else if (c == '"')
        at_ = At::kColon;
      return;
    case At::kColon:
      if (c == ':')
        at_ = At::kValue;
      else if (!is_blank(c))
        fail();
      return;
    case At::kValue:
      if (is_blank(c)) return;
      if (about_arguments(key_) && has_arguments_) return fail();
      at_ = At::kInValue;
      value_.clear();
      streaming_ = about_arguments(key_) && c == '{';
      [[fallthrough]];
    case At::kInValue: {
      std::string& to = streaming_ ? arguments_ : value_;
      if (in_string_) {
        to += c;
        if (escaped_)
          escaped_ = false;
        else if (c == '\\')
          escaped_ = true;
        else if (c == '"')
          in_string_ = false;
        if (in_string_ || !stack_.empty()) return;
        at_ = At::kNext;
        return end_value() ? void() : fail();
      }
      if (stack_.empty() && (c == ',' || c == '}')) {  // behind a number or a word
        if (value_.empty() || !end_value()) return fail();
        at_ = At::kNext;
        return take(c);
      }
      if (stack_.empty() && is_blank(c)) {
        at_ = At::kNext;
        return end_value() ? void() : fail();
      }
      to += c;
      if (c == '"') {
        in_string_ = true;
      } else if (c == '{' || c == '[') {
        stack_ += c == '{' ? '}' : ']';
        if (stack_.size() > kMaxDepth) fail();
      } else if (c == '}' || c == ']') {
        if (stack_.empty() || stack_.back() != c) return fail();
        stack_.pop_back();
        if (!stack_.empty()) return;
        at_ = At::kNext;
        // A value in brackets is only right for the arguments, and those were streamed; others are skipped.
        if (!streaming_ && !about_arguments(key_) && key_ != "\"name\"") value_.clear();
        if (!end_value()) fail();
      } else if (stack_.empty() && value_.size() > 64) {
        fail();  // no number or word is so long
      }
      return;
    }
    case At::kNext:
      if (c == ',') {
        at_ = At::kKey;
      } else if (c == '}') {
        if (!named()) return fail();
        if (!has_arguments_) arguments_ = "{}";
        state_ = State::kDone;
      } else if (!is_blank(c)) {
        fail();
      }
      return;
  }
}

}  // namespace hoist::serve
