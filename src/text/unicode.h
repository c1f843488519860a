// Unicode properties as the Hugging Face `tokenizers` package sees them.
//
// Why not utf8proc alone: identical ids need identical tables, and that package uses several at once.
// Measured against its release 0.23 over every code point: its regexes (Oniguruma, regex) follow Unicode 16,
// its Digits and Lowercase Unicode 17, Punctuation Unicode 8, normal forms and StripAccents Unicode 9.
// utf8proc gives the base (15.0 in Debian 12); unicode.cc holds the differences. Thread-safe; all functions
// are pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hoist::text {

// One bit per question that a pattern asks about a character.
enum CharClass : uint8_t {
  kLetter = 1,     // \p{L}
  kNumber = 2,     // \p{N}
  kSpace = 4,      // \s, Unicode White_Space
  kMark = 8,       // \p{M}
  kUpperish = 16,  // \p{Lu} \p{Lt} \p{Lm} \p{Lo} \p{M}
  kLowerish = 32,  // \p{Ll} \p{Lm} \p{Lo} \p{M}
  kWord = 64,      // \w of the `regex` crate: alphabetic, marks, decimal digits, connectors, joiners
  kNewline = 128,  // \r \n
};

extern const uint8_t kAsciiClass[128];
uint8_t class_of_wide(uint32_t code_point);

inline uint8_t class_of(uint32_t code_point) {
  return code_point < 128 ? kAsciiClass[code_point] : class_of_wide(code_point);
}

bool is_numeric(uint32_t code_point);      // what Digits splits on
bool is_punctuation(uint32_t code_point);  // what Punctuation splits on
bool is_accent(uint32_t code_point);       // what StripAccents removes

// Members of a general category ("L", "Nd", ...) too new for PCRE2 10.42, in its notation:
// "\x{31350}-\x{323af}...".
std::string newer_ranges(std::string_view category);

std::string lowercase(std::string_view text);  // well-formed UTF-8 in and out, character by character

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// `text` is well-formed UTF-8. Linear but for runs of combining marks, which are sorted.
std::string normalize(std::string_view text, NormalForm form);

}  // namespace hoist::text
