// Hand-written scanners for the regular expressions that byte-level vocabularies are trained with.
//
// Each is a transcription of its alternatives in order. Every character is looked at a bounded number of
// times per match, and what one match looks ahead at belongs to it or to the next, so scanning is linear.
#include "text/pattern.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace hoist::text {

const char* const kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const char* const kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

struct Char {
  uint8_t bits = 0;    // CharClass
  uint8_t length = 0;  // 0 at the end of the text
};

inline Char char_at(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {kAsciiClass[lead], 1};
  return {class_of_wide(decode_char(text, at)), static_cast<uint8_t>(char_length(lead))};
}

// End of the run of characters from `at` on that have one of `bits`.
inline size_t run_of(std::string_view text, size_t at, uint8_t bits, size_t max_chars = SIZE_MAX) {
  for (size_t n = 0; n < max_chars; ++n) {
    const Char c = char_at(text, at);
    if (c.length == 0 || !(c.bits & bits)) break;
    at += c.length;
  }
  return at;
}

// [^\s\p{L}\p{N}]+
inline size_t run_of_other(std::string_view text, size_t at) {
  for (;;) {
    const Char c = char_at(text, at);
    if (c.length == 0 || (c.bits & (kSpace | kLetter | kNumber))) return at;
    at += c.length;
  }
}

// \s+(?!\S)|\s+ : white space up to the end of the text, or leaving one character for the next word.
inline size_t white_space(std::string_view text, size_t at) {
  const size_t end = run_of(text, at, kSpace);
  if (end == text.size()) return end;
  const size_t last = previous_char(text, end);
  return last > at ? last : end;
}

// Length of 's 't 're 've 'm 'll 'd at `at`, or 0. With `fold_case` also in capitals, where U+017F is an s.
inline size_t contraction(std::string_view text, size_t at, bool fold_case) {
  if (at + 1 >= text.size() || text[at] != '\'') return 0;
  const auto letter = [&](size_t i) -> char {
    if (i >= text.size()) return 0;
    const char c = text[i];
    return fold_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = letter(at + 1), second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  if (fold_case && text.substr(at + 1, 2) == "\u017F") return 3;
  return 0;
}

size_t scan_gpt2(std::string_view text, size_t at) {
  if (const size_t length = contraction(text, at, false)) return at + length;
  const size_t word = at + (text[at] == ' ');
  const Char c = char_at(text, word);
  if (c.bits & kLetter) return run_of(text, word, kLetter);
  if (c.bits & kNumber) return run_of(text, word, kNumber);
  if (c.length != 0 && !(c.bits & kSpace)) return run_of_other(text, word);
  return white_space(text, at);
}

// \s*[\r\n]+ : white space up to the last line break of the run. `at` itself when the run has none.
inline size_t lines(std::string_view text, size_t at) {
  size_t last = at;
  for (;;) {
    const Char c = char_at(text, at);
    if (c.length == 0 || !(c.bits & kSpace)) return last;
    at += c.length;
    if (c.bits & kNewline) last = at;
  }
}

// What Llama 3, Qwen2 and o200k share after words and numbers.
inline size_t other_or_space(std::string_view text, size_t at, bool slash_ends) {
  const size_t symbol = at + (text[at] == ' ');
  const Char c = char_at(text, symbol);
  if (c.length != 0 && !(c.bits & (kSpace | kLetter | kNumber))) {
    size_t end = run_of_other(text, symbol);
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n' || (slash_ends && text[end] == '/')))
      ++end;
    return end;
  }
  if (const size_t end = lines(text, at); end > at) return end;
  return white_space(text, at);
}

template <size_t kDigits>
size_t scan_llama(std::string_view text, size_t at) {
  if (const size_t length = contraction(text, at, true)) return at + length;
  const Char first = char_at(text, at);
  if (first.bits & kLetter) return run_of(text, at, kLetter);
  if (first.bits & kNumber) return run_of(text, at, kNumber, kDigits);
  if (!(first.bits & kNewline) && (char_at(text, at + first.length).bits & kLetter)) {
    return run_of(text, at + first.length, kLetter);
  }
  return other_or_space(text, at, false);
}

// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ from `at` on; `at` when it does not match.
// Letters without case and marks are in both sets, so the first part gives back what the second needs.
size_t small_word(std::string_view text, size_t at) {
  const size_t upper_end = run_of(text, at, kUpperish);
  const size_t end = run_of(text, upper_end, kLowerish);
  if (end > upper_end) return end;
  for (size_t back = upper_end; back > at;) {
    const size_t previous = previous_char(text, back);
    if (char_at(text, previous).bits & kLowerish) return back;
    back = previous;
  }
  return at;
}

// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]* likewise.
size_t capital_word(std::string_view text, size_t at) {
  const size_t upper_end = run_of(text, at, kUpperish);
  return upper_end == at ? at : run_of(text, upper_end, kLowerish);
}

size_t scan_o200k(std::string_view text, size_t at) {
  const Char first = char_at(text, at);
  const bool prefix = !(first.bits & (kNewline | kLetter | kNumber));  // [^\r\n\p{L}\p{N}]? takes it
  for (const auto word : {&small_word, &capital_word}) {
    for (const size_t begin : {at + first.length, at}) {
      if (begin > at && !prefix) continue;
      if (const size_t end = word(text, begin); end > begin) return end + contraction(text, end, true);
    }
  }
  if (first.bits & kNumber) return run_of(text, at, kNumber, 3);
  return other_or_space(text, at, true);
}

struct Known {
  const char* regex;
  Scanner scanner;
};
const Known kKnown[] = {
    {kGpt2Regex, &scan_gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     &scan_llama<3>},
    {kQwen2Regex, &scan_llama<1>},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
     R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     &scan_o200k},
};

}  // namespace

Scanner find_scanner(std::string_view regex) {
  for (const Known& known : kKnown) {
    if (regex == known.regex) return known.scanner;
  }
  return nullptr;
}

}  // namespace hoist::text
