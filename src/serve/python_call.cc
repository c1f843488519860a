#include "serve/python_call.h"

#include "base/error.h"
#include "io/json.h"

namespace hoist::serve {
namespace {

constexpr size_t kMaxWord = 64;

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

int hex(char c) {
  if (digit(c)) return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A number or word as JSON; empty: neither.
std::string literal(const std::string& word) {
  if (word == "True" || word == "true") return "true";
  if (word == "False" || word == "false") return "false";
  if (word == "None" || word == "null") return "null";
  try {
    const auto document = io::JsonDocument::parse("[" + word + "]", "tool call");
    if (document.root().size() == 1 && (*document.root().elements().begin()).is_number()) return word;
  } catch (const Error&) {
  }
  return "";
}

}  // namespace

void PythonCall::take(char c) {
  switch (at_) {
    case At::kName:
      if (function_.empty() && is_blank(c)) return;
      if (c == '(' && !function_.empty()) {
        at_ = At::kKeyOrEnd;
      } else if ((letter(c) || (!function_.empty() && (digit(c) || c == '.' || c == '-'))) &&
                 function_.size() < kMaxName) {
        function_ += c;
      } else {
        fail();
      }
      return;
    case At::kKeyOrEnd:
      if (is_blank(c)) return;
      if (c == ')') return end_call();
      if (!letter(c)) return fail();
      held_ = c;
      at_ = At::kKey;
      return;
    case At::kKey:
    case At::kEquals: return take_key(c);
    case At::kValue: return take_value(c);
    case At::kText: return take_text(c);
    case At::kWord:
      if (letter(c) || digit(c) || c == '.' || c == '+' || c == '-') {
        held_ += c;
        if (held_.size() > kMaxWord) fail();
        return;
      }
      end_word();
      if (state_ == State::kOpen) take_behind(c);
      return;
    case At::kBehind: return take_behind(c);
  }
}

void PythonCall::take_key(char c) {
  if (at_ == At::kKey && (letter(c) || digit(c)) && held_.size() < kMaxName) {
    held_ += c;
  } else if (is_blank(c)) {
    at_ = At::kEquals;
  } else if (c == '=' && keys_.insert(held_).second) {
    name_ = function_;
    arguments_ += (opened_ ? ", \"" : "{\"") + held_ + "\": ";
    opened_ = true;
    held_.clear();
    comma_ = may_end_ = dict_key_ = false;
    at_ = At::kValue;
  } else {
    fail();
  }
}

void PythonCall::begin_value() {
  if (comma_) arguments_ += ", ";
  comma_ = may_end_ = false;
}

void PythonCall::take_value(char c) {
  if (is_blank(c)) return;
  if (may_end_ && c == stack_.back()) return close();
  begin_value();
  if (c == '"' || c == '\'') {
    arguments_ += '"';
    quote_ = c;
    at_ = At::kText;
  } else if (dict_key_) {
    fail();
  } else if (c == '[' || c == '{') {
    if (stack_.size() == kMaxDepth) return fail();
    arguments_ += c;
    stack_ += c == '[' ? ']' : '}';
    may_end_ = true;
    dict_key_ = c == '{';
  } else if (letter(c) || digit(c) || c == '-') {
    held_ = c;
    at_ = At::kWord;
  } else {
    fail();
  }
}

void PythonCall::take_text(char c) {
  if (!escape_.empty()) {
    escape_ += c;
    const char kind = escape_[1];
    const size_t length = kind == 'x' ? 4 : kind == 'u' ? 6 : kind == 'U' ? 10 : 2;
    if (escape_.size() > 2 && hex(c) < 0) return fail();
    if (escape_.size() == length) end_escape();
  } else if (c == '\\') {
    escape_ = c;
  } else if (c == quote_) {
    arguments_ += '"';
    at_ = At::kBehind;
  } else {
    add_json_char(c, arguments_);
  }
}

void PythonCall::end_escape() {
  const std::string escape = std::move(escape_);
  escape_.clear();
  const char kind = escape[1];
  if (escape.size() > 2) {
    uint32_t code = 0;
    for (const char c : escape.substr(2)) code = code * 16 + static_cast<uint32_t>(hex(c));
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return fail();  // no character
    add_json_code(code, arguments_);
    return;
  }
  constexpr std::string_view kFrom = "ntrbfav0", kTo("\n\t\r\b\f\a\v\0", 8);
  if (const size_t at = kFrom.find(kind); at != std::string_view::npos) {
    add_json_char(kTo[at], arguments_);
  } else if (kind == '\\' || kind == '\'' || kind == '"') {
    add_json_char(kind, arguments_);
  } else if (kind != '\n') {  // others stand for themselves, with their backslash
    add_json_char('\\', arguments_);
    add_json_char(kind, arguments_);
  }
}

void PythonCall::end_word() {
  const std::string value = literal(held_);
  held_.clear();
  if (value.empty()) return fail();
  arguments_ += value;
  at_ = At::kBehind;
}

void PythonCall::close() {
  arguments_ += stack_.back();
  stack_.pop_back();
  comma_ = may_end_ = dict_key_ = false;
  at_ = At::kBehind;
}

void PythonCall::take_behind(char c) {
  if (is_blank(c)) return;
  if (stack_.empty()) {
    if (c == ')') return end_call();
    if (c != ',') return fail();
    at_ = At::kKeyOrEnd;
  } else if (dict_key_) {
    if (c != ':') return fail();
    arguments_ += ": ";
    dict_key_ = false;
    at_ = At::kValue;
  } else if (c == ',') {
    comma_ = may_end_ = true;
    dict_key_ = stack_.back() == '}';
    at_ = At::kValue;
  } else if (c == stack_.back()) {
    close();
  } else {
    fail();
  }
}

void PythonCall::end_call() {
  name_ = function_;
  arguments_ += opened_ ? "}" : "{}";
  state_ = State::kDone;
}

}  // namespace hoist::serve
