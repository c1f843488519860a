#include "serve/xml_call.h"

#include "base/error.h"
#include "io/json.h"
#include "io/json_value.h"

namespace hoist::serve {
namespace {

constexpr std::string_view kFunction = "<function=", kFunctionEnd = "</function>";
constexpr std::string_view kParameter = "<parameter=";
constexpr std::string_view kValueEnd = "</parameter>", kLineEnd = "\n</parameter>";

std::string as_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) add_json_char(c, out);
  return out + '"';
}

// The text as a JSON value: the one it is, or a string. Models also write Python's words.
std::string as_json(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return as_string(text);
  const std::string_view core = text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
  if (core == "True") return "true";
  if (core == "False") return "false";
  if (core == "None") return "null";
  try {
    const auto document = io::JsonDocument::parse("[" + std::string(core) + "]", "tool call");
    if (document.root().size() == 1) return std::string(core);
  } catch (const Error&) {
  }
  return as_string(text);
}

bool may_become(std::string_view text, std::string_view whole) { return whole.starts_with(text); }

}  // namespace

void XmlCall::take(char c) {
  switch (at_) {
    case At::kBegin:
    case At::kBody: return take_tag(c);
    case At::kName:
    case At::kKey:
      if (c != '>') {
        if (c == '\n' || c == '<' || held_.size() >= kMaxName) return fail();
        held_ += c;
        return;
      }
      if (held_.empty()) return fail();
      if (at_ == At::kName) {
        name_ = std::move(held_);
        held_.clear();
        at_ = At::kBody;
        return;
      }
      return begin_value();
    case At::kValue: return take_value(c);
  }
}

void XmlCall::take_tag(char c) {
  if (held_.empty() && is_blank(c)) return;
  held_ += c;
  if (at_ == At::kBegin) {
    if (held_ == kFunction) {
      held_.clear();
      at_ = At::kName;
    } else if (!may_become(held_, kFunction)) {
      fail();
    }
    return;
  }
  if (held_ == kParameter) {
    held_.clear();
    at_ = At::kKey;
  } else if (held_ == kFunctionEnd) {
    arguments_ += opened_ ? "}" : "{}";
    state_ = State::kDone;
  } else if (!may_become(held_, kParameter) && !may_become(held_, kFunctionEnd)) {
    fail();
  }
}

void XmlCall::begin_value() {
  const auto tool = texts_ ? texts_->find(name_) : TextParameters::const_iterator();
  text_ = texts_ && tool != texts_->end() && tool->second.contains(held_);
  skipped_ = !keys_.insert(held_).second;
  if (!skipped_) {
    arguments_ += (opened_ ? ", " : "{") + as_string(held_) + ": ";
    if (text_) arguments_ += '"';
    opened_ = true;
  }
  held_.clear();
  value_.clear();
  at_front_ = true;
  at_ = At::kValue;
}

// `held_` begins one of the two ends; what turns out not to goes out from its front.
void XmlCall::take_value(char c) {
  held_ += c;
  if (held_ == kValueEnd || held_ == kLineEnd) return end_value();
  size_t out = 0;
  const auto rest = [&] { return std::string_view(held_).substr(out); };
  while (!rest().empty() && !may_become(rest(), kValueEnd) && !may_become(rest(), kLineEnd))
    add(held_[out++]);
  held_.erase(0, out);
}

void XmlCall::add(char c) {
  const bool front = at_front_;
  at_front_ = false;
  if (skipped_ || (front && c == '\n')) return;
  if (text_)
    add_json_char(c, arguments_);
  else
    value_ += c;
}

void XmlCall::end_value() {
  if (!skipped_) arguments_ += text_ ? "\"" : as_json(value_);
  value_.clear();
  held_.clear();
  at_ = At::kBody;
}

}  // namespace hoist::serve
