#include "text/bert_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "text/unicode.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

struct Range {
  uint32_t first, last;
};

// Nonspacing marks for utf8proc that the package, whose table is older, does not know.
constexpr Range kNewerNonspacing[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8E1},     {0x9FE, 0x9FE},     {0xAFA, 0xAFF},
    {0xB55, 0xB55},     {0xC04, 0xC04},     {0xC3C, 0xC3C},     {0xD00, 0xD00},     {0xD3B, 0xD3C},
    {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x180F, 0x180F},   {0x1885, 0x1886},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFB},   {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},
    {0xA9BD, 0xA9BD},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x11073, 0x11074}, {0x110C2, 0x110C2}, {0x111C9, 0x111C9},
    {0x111CF, 0x111CF}, {0x1123E, 0x1123E}, {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x11438, 0x1143F},
    {0x11442, 0x11444}, {0x11446, 0x11446}, {0x1145E, 0x1145E}, {0x1182F, 0x11837}, {0x11839, 0x1183A},
    {0x1193B, 0x1193C}, {0x1193E, 0x1193E}, {0x11943, 0x11943}, {0x119D4, 0x119D7}, {0x119DA, 0x119DB},
    {0x119E0, 0x119E0}, {0x11A01, 0x11A0A}, {0x11A33, 0x11A38}, {0x11A3B, 0x11A3E}, {0x11A47, 0x11A47},
    {0x11A51, 0x11A56}, {0x11A59, 0x11A5B}, {0x11A8A, 0x11A96}, {0x11A98, 0x11A99}, {0x11C30, 0x11C36},
    {0x11C38, 0x11C3D}, {0x11C3F, 0x11C3F}, {0x11C92, 0x11CA7}, {0x11CAA, 0x11CB0}, {0x11CB2, 0x11CB3},
    {0x11CB5, 0x11CB6}, {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A}, {0x11D3C, 0x11D3D}, {0x11D3F, 0x11D45},
    {0x11D47, 0x11D47}, {0x11D90, 0x11D91}, {0x11D95, 0x11D95}, {0x11D97, 0x11D97}, {0x11EF3, 0x11EF4},
    {0x11F00, 0x11F01}, {0x11F36, 0x11F3A}, {0x11F40, 0x11F40}, {0x11F42, 0x11F42}, {0x13440, 0x13440},
    {0x13447, 0x13455}, {0x16F4F, 0x16F4F}, {0x16FE4, 0x16FE4}, {0x1CF00, 0x1CF2D}, {0x1CF30, 0x1CF46},
    {0x1E000, 0x1E006}, {0x1E008, 0x1E018}, {0x1E01B, 0x1E021}, {0x1E023, 0x1E024}, {0x1E026, 0x1E02A},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
    {0x1E944, 0x1E94A}};

// Format characters of the same kind.
constexpr Range kNewerFormat[] = {{0x890, 0x891}, {0x8E2, 0x8E2}, {0x110CD, 0x110CD}, {0x13430, 0x1343F}};

// The blocks that BERT takes for Chinese; 2B820-2B91F are missing in the package too.
constexpr Range kChinese[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
                              {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};

template <size_t n>
bool within(const Range (&ranges)[n], uint32_t c) {
  const Range* range =
      std::lower_bound(ranges, ranges + n, c, [](const Range& r, uint32_t value) { return r.last < value; });
  return range != ranges + n && range->first <= c;
}

utf8proc_category_t category(uint32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool is_removed(uint32_t c) {
  if (c == 0 || c == 0xFFFD) return true;
  if (c == '\t' || c == '\n' || c == '\r') return false;
  if (c < 128) return c < ' ' || c == 127;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CO: return true;
    case UTF8PROC_CATEGORY_CF: return !within(kNewerFormat, c);
    default: return false;
  }
}

bool is_nonspacing(uint32_t c) {
  if (c < 128) return false;
  if (c == 0x1734) return true;
  return category(c) == UTF8PROC_CATEGORY_MN && !within(kNewerNonspacing, c);
}

// Copies the characters of `text` that are not `removed`.
template <class Removed>
std::string without(std::string_view text, bool& at_origin, Removed removed) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = char_length(static_cast<unsigned char>(text[at]));
    const uint32_t c = decode_char(text, at);
    if (removed(c)) {
      if (out.empty()) at_origin = false;
    } else {
      out.append(text.substr(at, length));
    }
    at += length;
  }
  return out;
}

}  // namespace

std::string bert_clean(std::string_view text, bool& at_origin) {
  std::string kept = without(text, at_origin, is_removed);
  std::string out;
  out.reserve(kept.size());
  for (size_t at = 0; at < kept.size();) {
    const size_t length = char_length(static_cast<unsigned char>(kept[at]));
    if (class_of(decode_char(kept, at)) & kSpace) {
      out += ' ';
    } else {
      out.append(kept, at, length);
    }
    at += length;
  }
  return out;
}

std::string bert_space_chinese(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = char_length(static_cast<unsigned char>(text[at]));
    const bool chinese = length > 1 && within(kChinese, decode_char(text, at));
    if (chinese) out += ' ';
    out.append(text.substr(at, length));
    if (chinese) out += ' ';
    at += length;
  }
  return out;
}

std::string bert_strip_accents(std::string_view text, bool& at_origin) {
  return without(normalize(text, NormalForm::kNfd), at_origin, is_nonspacing);
}

}  // namespace hoist::text
