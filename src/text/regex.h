// A regular expression from a tokenizer file, run by PCRE2 under limits.
//
// The files are written for Oniguruma; what the two engines read differently is translated (\w, \s, \b, line
// anchors) or refused by name. Work is counted while matching and an Error when it exceeds the caller's
// budget, so no pattern can make time run away; match, depth and heap limits hold as well. No JIT.
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace hoist::text {

// Steps that regular expressions may still take, shared by all the pieces of one text: short ones may be
// quadratic, but not all of a long text.
struct StepBudget {
  static constexpr uint64_t kFloor = 2'000'000, kPerByte = 256;
  uint64_t left;
  static StepBudget for_text(size_t bytes) { return {kFloor + kPerByte * bytes}; }
};

class Regex {
 public:
  // `where` names the field in errors. Throws Error(kUnsupported).
  Regex(std::string_view expression, std::string_view where);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  // Calls `visit(begin, end)` for each match from left to right. Matches do not overlap; an empty match right
  // after another match is not reported. Throws Error(kResourceExhausted) when a limit trips.
  void for_each_match(std::string_view text, StepBudget& budget,
                      const std::function<void(size_t, size_t)>& visit) const;

 private:
  struct Compiled;
  std::string where_;
  std::unique_ptr<Compiled> compiled_;
};

// The PCRE2 form of an Oniguruma expression. Throws as the constructor does. For tests.
std::string translate_regex(std::string_view expression, std::string_view where);

}  // namespace hoist::text
