// Patterns that cut text: a literal string, one of the well-known regular expressions, or any other.
//
// The well-known ones (GPT-2; Llama 3 and cl100k; Qwen2; o200k) have hand-written scanners, linear in the
// text. Any other goes through PCRE2 with limits on matching, memory and total work; tripping one is an
// Error. Immutable and thread-safe after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text {

struct Span {
  uint32_t begin, end;
  bool is_match;
};

class Regex;  // text/regex.h
struct StepBudget;

// End of the match that starts at `at` (< text.size()): these patterns match everywhere.
using Scanner = size_t (*)(std::string_view text, size_t at);
Scanner find_scanner(std::string_view regex);  // nullptr when the regular expression is not a known one

extern const char* const kGpt2Regex;
extern const char* const kQwen2Regex;

class Pattern {
 public:
  static Pattern literal(std::string text);
  static Pattern character(uint32_t code_point);
  // `where` names the field in errors. Throws Error(kUnsupported) when it does not compile.
  static Pattern regex(std::string_view expression, std::string_view where);

  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // Appends spans that cover `text` in order. Empty `text` gives one empty non-match, as in the reference.
  void find(std::string_view text, StepBudget& budget, std::vector<Span>& out) const;

  // The literal text, or empty for a regular expression.
  const std::string& literal_text() const { return literal_; }
  Scanner scanner() const { return scanner_; }  // nullptr unless the expression is a known one

 private:
  Pattern();
  std::string literal_;
  Scanner scanner_ = nullptr;
  std::unique_ptr<Regex> regex_;
};

}  // namespace hoist::text
