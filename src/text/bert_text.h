// What BERT does to text before cutting it: cleaning, spaces around Chinese characters, accents off. Devlin
// et al., "BERT", 2018; as the `tokenizers` package computes it, whose tables are those of several Unicode
// versions (text/unicode.h).
//
// Pure and thread-safe; well-formed UTF-8 in and out; linear.
#pragma once

#include <string>
#include <string_view>

namespace hoist::text {

// Without NUL, U+FFFD and control characters; white space becomes a space. `at_origin` as in Normalizer::run.
std::string bert_clean(std::string_view text, bool& at_origin);

// A space before and after each character of the CJK ideograph blocks.
std::string bert_space_chinese(std::string_view text);

// Decomposed (NFD), without nonspacing marks.
std::string bert_strip_accents(std::string_view text, bool& at_origin);

}  // namespace hoist::text
