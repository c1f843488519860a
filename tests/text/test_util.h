// Shared by the text tests: where the fixtures are, and random text.
#pragma once

#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "text/tokenizer.h"
#include "text/utf8.h"

namespace hoist::text {

inline const std::vector<std::string>& fixture_kinds() {
  static const std::vector<std::string> kinds = {
      "gpt2",         "llama3",          "qwen2",   "o200k",        "three_splits", "sp_prepend",
      "sp_metaspace", "sp_split",        "flags",   "prefixes",     "prefix_space", "byte_normalizer",
      "wordpiece",    "wordpiece_cased", "unigram", "unigram_bytes"};
  return kinds;
}

inline std::string fixture_path(const std::string& name) {
  return HOIST_SOURCE_DIR "/tests/fixtures/tokenizers/" + name;
}

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// Well-formed text: words, spaces, marks, wide scripts, emoji, controls, anything.
inline std::string random_text(std::mt19937_64& rng, size_t max_parts) {
  static const std::vector<std::string> parts = {"the",
                                                 " quick",
                                                 "Brown",
                                                 "'s",
                                                 "'LL",
                                                 "'\u017F",
                                                 " ",
                                                 "  ",
                                                 "\n",
                                                 "\r\n",
                                                 "\t",
                                                 "\u00A0",
                                                 "\u3000",
                                                 "12345",
                                                 "\u0661\u0662",
                                                 "\u00B2",
                                                 "e\u0301\u0323",
                                                 "\u00E9",
                                                 "\u4E2D\u6587",
                                                 "\u3042\u3044",
                                                 "\uAC00",
                                                 "\u1112\u1161",
                                                 "\U0001F468\u200D\U0001F469",
                                                 "!?",
                                                 "...",
                                                 "->",
                                                 "{}();",
                                                 "<s>",
                                                 "<|endoftext|>",
                                                 "<|end",
                                                 "\u2581",
                                                 "</w>",
                                                 "##",
                                                 "\u01C5",
                                                 "\u02B0",
                                                 "ABC",
                                                 "aBc",
                                                 "LEFT0",
                                                 "ab",
                                                 "abcde",
                                                 "abcdf",
                                                 "none12",
                                                 "<mask>",
                                                 std::string(1, '\0'),
                                                 "\u0130",
                                                 "\uFB01"};
  std::string text;
  const size_t count = rng() % (max_parts + 1);
  for (size_t i = 0; i < count; ++i) {
    const size_t kind = rng() % 8;
    if (kind < 6) {
      text += parts[rng() % parts.size()];
    } else if (kind == 6) {
      uint32_t c = static_cast<uint32_t>(rng() % 0x110000);
      if (c >= 0xD800 && c <= 0xDFFF) c = 0x0950;
      append_char(text, c);
    } else {
      text.append(rng() % 60, "a =\n\u00E9"[rng() % 4]);
    }
  }
  return text;
}

inline std::string random_bytes(std::mt19937_64& rng, size_t max_size) {
  std::string bytes(rng() % (max_size + 1), '\0');
  for (char& byte : bytes) byte = static_cast<char>(rng() % 4 == 0 ? 'a' + rng() % 3 : rng());
  return bytes;
}

}  // namespace hoist::text
