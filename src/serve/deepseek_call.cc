#include "serve/deepseek_call.h"

namespace hoist::serve {
namespace {

constexpr std::string_view kFence = "```", kJson = "json";

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(kBlanks);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

}  // namespace

// `held_` is what stands between the separator and the arguments.
void DeepSeekCall::begin_arguments() {
  std::string_view name = trimmed(held_);
  if (name.empty()) {
    name = trimmed(head_);
  } else if (name.ends_with(kJson) || name.ends_with(kFence)) {
    if (name.ends_with(kJson)) name.remove_suffix(kJson.size());
    if (!name.ends_with(kFence)) return fail();
    name = trimmed(name.substr(0, name.size() - kFence.size()));
  }
  if (name.empty() || name.size() > kMaxName) return fail();
  name_ = name;
  held_.clear();
  // The scanner reads an object around the arguments, of which the end never comes.
  scanner_.feed("{\"name\":\"n\",\"arguments\":");
  at_ = At::kArguments;
}

void DeepSeekCall::take(char c) {
  switch (at_) {
    case At::kMark:
      if (held_.empty() && is_blank(c)) return;
      held_ += c;
      if (held_ == kBegin) {
        held_.clear();
        at_ = At::kHead;
      } else if (!kBegin.starts_with(held_)) {
        fail();
      }
      return;
    case At::kHead:
      head_ += c;
      if (head_.ends_with(kSeparator)) {
        head_.resize(head_.size() - kSeparator.size());
        at_ = At::kLead;
      } else if (head_.size() > kMaxName + kSeparator.size()) {
        fail();
      }
      return;
    case At::kLead:
      if (c == '{') {
        begin_arguments();
        if (state_ == State::kOpen) take(c);
        return;
      }
      held_ += c;
      if (held_.size() > kMaxName + 32) fail();  // room for the fence and line ends
      return;
    case At::kArguments:
      scanner_.feed(std::string_view(&c, 1));
      arguments_ += scanner_.take_arguments();
      if (scanner_.state() == CallScanner::State::kFailed) return fail();
      if (scanner_.behind_value()) at_ = At::kTail;
      return;
    case At::kTail:
      if (held_.empty() && (is_blank(c) || c == '`')) return;
      held_ += c;
      if (held_ == kEnd)
        state_ = State::kDone;
      else if (!kEnd.starts_with(held_))
        fail();
      return;
  }
}

}  // namespace hoist::serve
