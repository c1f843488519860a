#include "serve/answer_parser.h"

#include <algorithm>

#include "base/rng.h"

namespace hoist::serve {
namespace {

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";
constexpr std::string_view kCall = "<tool_call>", kCallEnd = "</tool_call>";
constexpr std::string_view kMistral = "[TOOL_CALLS]", kMistralArgs = "[ARGS]", kPython = "<|python_tag|>";
constexpr size_t kMaxMistralName = 256;

size_t first_visible(std::string_view text) { return std::min(text.find_first_not_of(kBlanks), text.size()); }

// Bytes at the end of `text` that begin `marker`, fewer than all of it.
size_t partial(std::string_view text, std::string_view marker) {
  for (size_t n = std::min(marker.size() - 1, text.size()); n > 0; --n)
    if (text.ends_with(marker.substr(0, n))) return n;
  return 0;
}

enum class Begins { kNo, kMaybe, kYes };
Begins begins(std::string_view text, std::string_view marker) {
  if (text.starts_with(marker)) return Begins::kYes;
  return marker.starts_with(text) ? Begins::kMaybe : Begins::kNo;
}

std::string call_id(uint64_t seed, int64_t index, bool mistral) {
  constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  CounterRng rng(seed, 0x746f6f6c);
  std::string id = mistral ? "" : "call_";  // Mistral's templates refuse ids of another length
  const size_t length = mistral ? 9 : 29;
  for (uint64_t i = 0; id.size() < length; ++i)
    id += kLetters[rng.bits(static_cast<uint64_t>(index) * 64 + i) % kLetters.size()];
  return id;
}

}  // namespace

AnswerParser::AnswerParser(const AnswerStyle& style)
    : style_(style),
      at_(style.in_reasoning ? At::kReasoning
          : style.reasoning  ? At::kStart
                             : At::kAnswer),
      trim_(style.in_reasoning),
      xml_(style.texts) {}

std::string_view AnswerParser::marker() const {
  if (in_tags()) return kCall;
  if (style_.tools == ToolStyle::kDeepSeek) return DeepSeekCall::kCallsBegin;
  return style_.tools == ToolStyle::kMistral ? kMistral : "";
}

CallReader& AnswerParser::reader() {
  if (style_.tools == ToolStyle::kXml) return xml_;
  if (style_.tools == ToolStyle::kDeepSeek) return deepseek_;
  if (style_.tools == ToolStyle::kPython) return python_;
  return scanner_;
}

void AnswerParser::next_reader() {
  scanner_ = CallScanner();
  if (style_.tools == ToolStyle::kXml) xml_ = XmlCall(style_.texts);
  if (style_.tools == ToolStyle::kDeepSeek) deepseek_ = DeepSeekCall();
  if (style_.tools == ToolStyle::kPython) python_ = PythonCall();
}

void AnswerParser::feed(std::string_view text, http::CompletionEvent& event) {
  held_ += text;
  while (step(false, event)) {
  }
}

void AnswerParser::finish(http::CompletionEvent& event) {
  while (step(true, event)) {
  }
}

// One move; false when more text is needed, or none is left.
bool AnswerParser::step(bool last, http::CompletionEvent& event) {
  switch (at_) {
    case At::kStart: {
      const std::string_view rest = std::string_view(held_).substr(first_visible(held_));
      const Begins b = begins(rest, kThink);
      if (b == Begins::kMaybe && !last) return false;
      at_ = At::kAnswer;
      if (b == Begins::kYes) {
        held_ = std::string(rest.substr(kThink.size()));
        at_ = At::kReasoning;
        trim_ = true;
      }
      return true;
    }
    case At::kReasoning: return in_reasoning(last, event);
    case At::kAnswer: {
      const size_t blanks = first_visible(held_);
      const std::string_view rest = std::string_view(held_).substr(blanks);
      if (trim_ && blanks > 0) {
        held_.erase(0, blanks);
        return true;
      }
      if (rest.empty() && !last && (trim_ || style_.tools != ToolStyle::kNone)) return false;
      trim_ = false;
      at_ = At::kText;
      if (style_.tools == ToolStyle::kObject) {
        const Begins python = begins(rest, kPython);
        if (python == Begins::kMaybe && !last) {
          at_ = At::kAnswer;
          return false;
        }
        if (rest.starts_with("{") || python == Begins::kYes) {
          raw_ = held_.substr(0, blanks + (python == Begins::kYes ? kPython.size() : 0));
          held_.erase(0, raw_.size());
          at_ = At::kCall;
        }
      } else if (style_.tools == ToolStyle::kPython && rest.starts_with("[")) {
        raw_ = held_.substr(0, blanks + 1);
        held_.erase(0, blanks + 1);
        list_ = true;
        at_ = At::kCall;
      } else if (style_.tools == ToolStyle::kList && rest.starts_with("[")) {
        raw_ = held_.substr(0, blanks);
        held_.erase(0, blanks);
        at_ = At::kBeforeCall;
      }
      return true;
    }
    case At::kText: return in_text(last, event);
    case At::kBeforeCall: {
      const size_t blanks = first_visible(held_);
      if (blanks == held_.size() && !last) return false;
      if (in_tags() || style_.tools == ToolStyle::kDeepSeek || held_.substr(blanks).empty()) {
        at_ = At::kCall;
        return true;
      }
      const char c = held_[blanks];
      if (c == '[') {
        list_ = true;
        raw_ += held_.substr(0, blanks + 1);
        held_.erase(0, blanks + 1);
        at_ = At::kCall;
      } else {
        at_ = c == '{' ? At::kCall : At::kMistralName;
      }
      return true;
    }
    case At::kMistralName: {
      // A name ends where [ARGS] or the arguments begin.
      const size_t end = std::min(held_.find('{'), held_.find(kMistralArgs));
      if (end == std::string::npos) {
        // [ARGS] may have begun at the longest name's end.
        if (last || held_.size() >= kMaxMistralName + kMistralArgs.size()) {
          give_up(event);
          return true;
        }
        return false;
      }
      std::string name = held_.substr(0, end);
      const size_t from = first_visible(name), to = name.find_last_not_of(kBlanks);
      if (from == name.size() || end > kMaxMistralName) {
        give_up(event);
        return true;
      }
      name = name.substr(from, to - from + 1);
      held_.erase(0, end);
      if (held_.starts_with(kMistralArgs)) held_.erase(0, kMistralArgs.size());
      raw_.clear();
      scanner_ = CallScanner();
      scanner_.feed("{\"name\":\"n\",\"arguments\":");
      begin_call(std::move(name), event);
      at_ = At::kMistralBody;
      return true;
    }
    case At::kMistralBody: {
      // The scanner reads an object around the arguments, of which the end never comes.
      size_t used = 0;
      while (used < held_.size() && scanner_.state() == CallScanner::State::kOpen && !scanner_.behind_value())
        scanner_.feed(std::string_view(held_).substr(used++, 1));
      held_.erase(0, used);
      add_arguments(scanner_.take_arguments(), event);
      if (scanner_.state() == CallScanner::State::kOpen && !scanner_.behind_value()) return false;
      scanner_ = CallScanner();
      announced_ = false;
      at_ = At::kBetween;
      return true;
    }
    case At::kCall: return in_call(last, event);
    case At::kBetween: return between(last);
    case At::kPlain: {
      event.text += held_;
      held_.clear();
      return false;
    }
  }
  return false;
}

bool AnswerParser::in_reasoning(bool last, http::CompletionEvent& event) {
  if (trim_) {
    held_.erase(0, first_visible(held_));
    if (held_.empty()) return false;
    trim_ = false;
  }
  const size_t end = held_.find(kThinkEnd);
  std::string_view said = std::string_view(held_).substr(0, end);
  if (end == std::string::npos && !last) said.remove_suffix(partial(said, kThinkEnd));
  // White space before the end goes, so it waits.
  const size_t visible = said.find_last_not_of(kBlanks);
  if (!last || end != std::string::npos)
    said = said.substr(0, visible == std::string_view::npos ? 0 : visible + 1);
  event.reasoning += said;
  if (end == std::string::npos) {
    held_.erase(0, said.size());
    return false;
  }
  held_.erase(0, end + kThinkEnd.size());
  at_ = At::kAnswer;
  trim_ = true;
  return true;
}

bool AnswerParser::in_text(bool last, http::CompletionEvent& event) {
  const std::string_view mark = marker();
  if (mark.empty()) {
    at_ = At::kPlain;
    return true;
  }
  const size_t at = held_.find(mark);
  std::string_view said = std::string_view(held_).substr(0, at);
  if (at == std::string::npos && !last) said.remove_suffix(partial(said, mark));
  const size_t visible = said.find_last_not_of(kBlanks);
  if (at != std::string::npos || !last)
    said = said.substr(0, visible == std::string_view::npos ? 0 : visible + 1);
  event.text += said;
  if (at == std::string::npos) {
    held_.erase(0, said.size());
    return false;
  }
  raw_ = held_.substr(said.size(), at + mark.size() - said.size());
  held_.erase(0, at + mark.size());
  list_ = false;
  next_reader();
  at_ = At::kBeforeCall;
  return true;
}

void AnswerParser::begin_call(std::string name, http::CompletionEvent& event) {
  const int64_t index = calls_++;
  event.tool_calls.push_back(
      {index, call_id(style_.id_seed, index, style_.tools == ToolStyle::kMistral), std::move(name), ""});
  announced_ = true;
}

void AnswerParser::add_arguments(std::string text, http::CompletionEvent& event) {
  if (text.empty()) return;
  auto& calls = event.tool_calls;
  if (!calls.empty() && calls.back().index == calls_ - 1) {
    calls.back().arguments += text;
  } else {
    calls.push_back({calls_ - 1, "", "", std::move(text)});
  }
}

// What was taken for a call is text.
void AnswerParser::give_up(http::CompletionEvent& event) {
  event.text += raw_;
  raw_.clear();
  next_reader();
  at_ = in_tags() || style_.tools == ToolStyle::kDeepSeek ? At::kText : At::kPlain;
}

bool AnswerParser::in_call(bool last, http::CompletionEvent& event) {
  const size_t used = reader().feed(held_);
  if (!announced_) raw_ += held_.substr(0, used);
  held_.erase(0, used);
  if (!announced_ && reader().named()) {
    raw_.clear();
    begin_call(reader().name(), event);
  }
  add_arguments(reader().take_arguments(), event);
  if (reader().state() == CallScanner::State::kOpen) {
    if (last && !announced_) {
      give_up(event);
      return true;
    }
    return false;
  }
  if (reader().state() == CallScanner::State::kFailed && !announced_) {
    give_up(event);
    return true;
  }
  announced_ = false;
  next_reader();
  at_ = At::kBetween;
  return true;
}

bool AnswerParser::between(bool last) {
  const size_t blanks = first_visible(held_);
  const std::string_view rest = std::string_view(held_).substr(blanks);
  if (rest.empty() && !last) return false;
  if (style_.tools == ToolStyle::kDeepSeek) {
    const Begins more = begins(rest, DeepSeekCall::kBegin), end = begins(rest, DeepSeekCall::kCallsEnd);
    if ((more == Begins::kMaybe || end == Begins::kMaybe) && !last) return false;
    if (more == Begins::kYes) {
      raw_ = held_.substr(0, blanks);
      held_.erase(0, blanks);
      at_ = At::kCall;
      return true;
    }
    held_ =
        end == Begins::kYes ? std::string(rest.substr(DeepSeekCall::kCallsEnd.size())) : std::string(rest);
    at_ = At::kAnswer;
    trim_ = true;
    return true;
  }
  if (in_tags()) {
    const Begins b = begins(rest, kCallEnd);
    if (b == Begins::kMaybe && !last) return false;
    held_ = b == Begins::kYes ? std::string(rest.substr(kCallEnd.size())) : std::string(rest);
    at_ = At::kAnswer;
    trim_ = true;
    return true;
  }
  if (style_.tools == ToolStyle::kMistral && !list_) {
    const Begins b = begins(rest, kMistral);
    if (b == Begins::kMaybe && !last) return false;
    at_ = b == Begins::kYes ? At::kText : At::kPlain;
    if (!rest.empty()) held_.erase(0, blanks);
    return !held_.empty();
  }
  const char separator = style_.tools == ToolStyle::kObject ? ';' : ',';
  if (rest.starts_with(separator)) {
    raw_ = held_.substr(0, blanks + 1);
    held_.erase(0, blanks + 1);
    at_ = At::kCall;
    return true;
  }
  if (list_ && rest.starts_with(']'))
    held_.erase(0, blanks + 1);
  else
    held_.erase(0, blanks);
  at_ = At::kPlain;
  return !held_.empty();
}

}  // namespace hoist::serve
