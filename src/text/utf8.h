// UTF-8 by hand: decode, encode, step back, repair.
//
// Everything but `repair` expects well-formed UTF-8; the tokenizer repairs its input once, at the door.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hoist::text {

// Length in bytes of the character that starts with `lead`, a lead byte.
inline size_t char_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

inline bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// Code point at `text[at]`, which must start a character.
inline uint32_t decode_char(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[at + i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return lead;
  if (lead < 0xE0) return (lead & 0x1F) << 6 | (byte(1) & 0x3F);
  if (lead < 0xF0) return (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  return (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
}

// Start of the character that ends just before `at` (at > 0).
inline size_t previous_char(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && is_continuation(text[at]));
  return at;
}

void append_char(std::string& out, uint32_t code_point);

// How the bytes at `text[at..]` begin: a whole character, a prefix of one cut off by the end, or garbage.
enum class Utf8Kind { kValid, kIncomplete, kInvalid };
struct Utf8Step {
  Utf8Kind kind;
  size_t length;  // kInvalid: the maximal ill-formed part that one U+FFFD stands for
};
Utf8Step inspect_utf8(std::string_view text, size_t at);

bool is_utf8(std::string_view text);

// `text` with each maximal ill-formed part replaced by U+FFFD (the Unicode standard's recommendation, and
// what Python's and Rust's lossy decoders do).
std::string repair_utf8(std::string_view text);

}  // namespace hoist::text
