#include "text/charsmap.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <cstring>

#include "base/error.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

constexpr size_t kLongestGrapheme = 6;  // bytes; from here on characters are looked up one by one

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool decode_base64(std::string_view text, std::string& out) {
  if (text.size() % 4 != 0) return false;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  text.remove_suffix(padding);
  out.reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  return true;
}

// One unit of a Darts double array.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

std::string Charsmap::load(std::string_view base64) {
  std::string bytes;
  if (!decode_base64(base64, bytes)) return "found text that is not base64";
  if (bytes.empty()) return {};
  uint32_t size = 0;
  if (bytes.size() < 4) return fmt::format("found {} bytes, expected a size in the first 4", bytes.size());
  std::memcpy(&size, bytes.data(), 4);
  if (size % 4 != 0 || size > bytes.size() - 4)
    return fmt::format("found a trie of {} bytes in a map of {}", size, bytes.size());
  units_.resize(size / 4);
  std::memcpy(units_.data(), bytes.data() + 4, size);
  texts_ = bytes.substr(4 + size);
  if (!is_utf8(texts_)) return "found replacements that are not UTF-8";
  return {};
}

bool Charsmap::find(std::string_view chunk, std::string_view& replacement) const {
  if (units_.empty()) return false;
  uint32_t at = offset_of(units_[0]);
  for (const char c : chunk) {
    const uint32_t byte = static_cast<unsigned char>(c);
    if (byte == 0) return false;
    at ^= byte;
    if (at >= units_.size() || label_of(units_[at]) != byte) return false;
    const uint32_t unit = units_[at];
    at ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (at >= units_.size()) return false;
    const uint32_t begin = value_of(units_[at]);
    // A damaged map may point into a character.
    if (begin > texts_.size() || (begin < texts_.size() && is_continuation(texts_[begin]))) return false;
    replacement = std::string_view(texts_).substr(begin);
    replacement = replacement.substr(0, replacement.find('\0'));
    return true;
  }
  return false;
}

std::string Charsmap::apply(std::string_view text, size_t limit) const {
  std::string out;
  out.reserve(text.size());
  const auto append = [&](std::string_view piece) {
    if (piece.size() > limit - out.size()) {
      throw Error(ErrorCode::kResourceExhausted,
                  fmt::format("tokenizer: Precompiled makes more than {} bytes of one text", limit));
    }
    out += piece;
  };
  for (size_t at = 0; at < text.size();) {
    size_t end = at + char_length(static_cast<unsigned char>(text[at]));
    // A grapheme goes on while no break is allowed.
    utf8proc_int32_t state = 0, last = static_cast<utf8proc_int32_t>(decode_char(text, at));
    while (end < text.size()) {
      const auto next = static_cast<utf8proc_int32_t>(decode_char(text, end));
      if (utf8proc_grapheme_break_stateful(last, next, &state)) break;
      end += char_length(static_cast<unsigned char>(text[end]));
      last = next;
    }
    std::string_view replacement;
    if (end - at < kLongestGrapheme && find(text.substr(at, end - at), replacement)) {
      append(replacement);
      at = end;
      continue;
    }
    while (at < end) {
      const std::string_view one = text.substr(at, char_length(static_cast<unsigned char>(text[at])));
      append(find(one, replacement) ? replacement : one);
      at += one.size();
    }
  }
  return out;
}

}  // namespace hoist::text
