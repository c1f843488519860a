#include "text/pattern.h"

#include <cstring>

#include "text/regex.h"
#include "text/utf8.h"

namespace hoist::text {

Pattern::Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::character(uint32_t code_point) {
  std::string text;
  append_char(text, code_point);
  return literal(std::move(text));
}

Pattern Pattern::regex(std::string_view expression, std::string_view where) {
  Pattern pattern;
  pattern.scanner_ = find_scanner(expression);
  if (pattern.scanner_ == nullptr) pattern.regex_ = std::make_unique<Regex>(expression, where);
  return pattern;
}

void Pattern::find(std::string_view text, StepBudget& budget, std::vector<Span>& out) const {
  if (text.empty()) {
    out.push_back({0, 0, false});
    return;
  }
  if (scanner_ != nullptr) {
    for (size_t at = 0; at < text.size();) {
      const size_t end = scanner_(text, at);
      out.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(end), true});
      at = end;
    }
    return;
  }
  size_t previous = 0;
  const auto add = [&](size_t begin, size_t end) {
    if (previous != begin)
      out.push_back({static_cast<uint32_t>(previous), static_cast<uint32_t>(begin), false});
    out.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), true});
    previous = end;
  };
  if (regex_ != nullptr) {
    regex_->for_each_match(text, budget, add);
  } else if (literal_.empty()) {
    // An empty regular expression matches between all characters, and at the end.
    for (size_t at = 0; at < text.size(); at += char_length(static_cast<unsigned char>(text[at])))
      add(at, at);
    add(text.size(), text.size());
  } else {
    // memmem, because std::string_view::find is quadratic on a hostile pair.
    while (const void* found =
               memmem(text.data() + previous, text.size() - previous, literal_.data(), literal_.size())) {
      const auto at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
      add(at, at + literal_.size());
    }
  }
  if (previous != text.size()) {
    out.push_back({static_cast<uint32_t>(previous), static_cast<uint32_t>(text.size()), false});
  }
}

}  // namespace hoist::text
