#include "text/unicode.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

enum Kind : uint8_t {
  kNone,
  kLu,
  kLl,
  kLt,
  kLm,
  kLo,
  kM,
  kDigit,
  kLetterNumber,
  kNumberOther,
  kConnector,
  kPunct,
  kSymbol
};

struct Range {
  uint32_t first, last;
};
struct KindRange {
  uint32_t first, last;
  Kind kind;
};

// Assigned in Unicode 15.1 and 16, which the package's regexes know and utf8proc 2.8 does not.
constexpr KindRange kUnicode16[] = {
    {0x897, 0x897, kM},          {0x1B4E, 0x1B4F, kPunct},    {0x1B7F, 0x1B7F, kPunct},
    {0x1C89, 0x1C89, kLu},       {0x1C8A, 0x1C8A, kLl},       {0x2427, 0x2429, kSymbol},
    {0x2FFC, 0x2FFF, kSymbol},   {0x31E4, 0x31E5, kSymbol},   {0x31EF, 0x31EF, kSymbol},
    {0xA7CB, 0xA7CC, kLu},       {0xA7CD, 0xA7CD, kLl},       {0xA7DA, 0xA7DA, kLu},
    {0xA7DB, 0xA7DB, kLl},       {0xA7DC, 0xA7DC, kLu},       {0x105C0, 0x105F3, kLo},
    {0x10D40, 0x10D49, kDigit},  {0x10D4A, 0x10D4D, kLo},     {0x10D4E, 0x10D4E, kLm},
    {0x10D4F, 0x10D4F, kLo},     {0x10D50, 0x10D65, kLu},     {0x10D69, 0x10D6D, kM},
    {0x10D6E, 0x10D6E, kPunct},  {0x10D6F, 0x10D6F, kLm},     {0x10D70, 0x10D85, kLl},
    {0x10D8E, 0x10D8F, kSymbol}, {0x10EC2, 0x10EC4, kLo},     {0x10EFC, 0x10EFC, kM},
    {0x11380, 0x11389, kLo},     {0x1138B, 0x1138B, kLo},     {0x1138E, 0x1138E, kLo},
    {0x11390, 0x113B5, kLo},     {0x113B7, 0x113B7, kLo},     {0x113B8, 0x113C0, kM},
    {0x113C2, 0x113C2, kM},      {0x113C5, 0x113C5, kM},      {0x113C7, 0x113CA, kM},
    {0x113CC, 0x113D0, kM},      {0x113D1, 0x113D1, kLo},     {0x113D2, 0x113D2, kM},
    {0x113D3, 0x113D3, kLo},     {0x113D4, 0x113D5, kPunct},  {0x113D7, 0x113D8, kPunct},
    {0x113E1, 0x113E2, kM},      {0x116D0, 0x116E3, kDigit},  {0x11BC0, 0x11BE0, kLo},
    {0x11BE1, 0x11BE1, kPunct},  {0x11BF0, 0x11BF9, kDigit},  {0x11F5A, 0x11F5A, kM},
    {0x13460, 0x143FA, kLo},     {0x16100, 0x1611D, kLo},     {0x1611E, 0x1612F, kM},
    {0x16130, 0x16139, kDigit},  {0x16D40, 0x16D42, kLm},     {0x16D43, 0x16D6A, kLo},
    {0x16D6B, 0x16D6C, kLm},     {0x16D6D, 0x16D6F, kPunct},  {0x16D70, 0x16D79, kDigit},
    {0x18CFF, 0x18CFF, kLo},     {0x1CC00, 0x1CCEF, kSymbol}, {0x1CCF0, 0x1CCF9, kDigit},
    {0x1CD00, 0x1CEB3, kSymbol}, {0x1E5D0, 0x1E5ED, kLo},     {0x1E5EE, 0x1E5EF, kM},
    {0x1E5F0, 0x1E5F0, kLo},     {0x1E5F1, 0x1E5FA, kDigit},  {0x1E5FF, 0x1E5FF, kPunct},
    {0x1F8B2, 0x1F8BB, kSymbol}, {0x1F8C0, 0x1F8C1, kSymbol}, {0x1FA89, 0x1FA89, kSymbol},
    {0x1FA8F, 0x1FA8F, kSymbol}, {0x1FABE, 0x1FABE, kSymbol}, {0x1FAC6, 0x1FAC6, kSymbol},
    {0x1FADC, 0x1FADC, kSymbol}, {0x1FADF, 0x1FADF, kSymbol}, {0x1FAE9, 0x1FAE9, kSymbol},
    {0x1FBCB, 0x1FBEF, kSymbol}, {0x2EBF0, 0x2EE5D, kLo},
};

// Assigned in Unicode 15.0, which utf8proc 2.8 knows and PCRE2 10.42 (14.0) does not.
constexpr KindRange kUnicode15[] = {
    {0xCF3, 0xCF3, kM},          {0xECE, 0xECE, kM},
    {0x10EFD, 0x10EFF, kM},      {0x1123F, 0x11240, kLo},
    {0x11241, 0x11241, kM},      {0x11B00, 0x11B09, kPunct},
    {0x11F00, 0x11F01, kM},      {0x11F02, 0x11F02, kLo},
    {0x11F03, 0x11F03, kM},      {0x11F04, 0x11F10, kLo},
    {0x11F12, 0x11F33, kLo},     {0x11F34, 0x11F3A, kM},
    {0x11F3E, 0x11F42, kM},      {0x11F43, 0x11F4F, kPunct},
    {0x11F50, 0x11F59, kDigit},  {0x1342F, 0x1342F, kLo},
    {0x13440, 0x13440, kM},      {0x13441, 0x13446, kLo},
    {0x13447, 0x13455, kM},      {0x1B132, 0x1B132, kLo},
    {0x1B155, 0x1B155, kLo},     {0x1D2C0, 0x1D2D3, kNumberOther},
    {0x1DF25, 0x1DF2A, kLl},     {0x1E030, 0x1E06D, kLm},
    {0x1E08F, 0x1E08F, kM},      {0x1E4D0, 0x1E4EA, kLo},
    {0x1E4EB, 0x1E4EB, kLm},     {0x1E4EC, 0x1E4EF, kM},
    {0x1E4F0, 0x1E4F9, kDigit},  {0x1F6DC, 0x1F6DC, kSymbol},
    {0x1F774, 0x1F776, kSymbol}, {0x1F77B, 0x1F77F, kSymbol},
    {0x1F7D9, 0x1F7D9, kSymbol}, {0x1FA75, 0x1FA77, kSymbol},
    {0x1FA87, 0x1FA88, kSymbol}, {0x1FAAD, 0x1FAAF, kSymbol},
    {0x1FABB, 0x1FABD, kSymbol}, {0x1FABF, 0x1FABF, kSymbol},
    {0x1FACE, 0x1FACF, kSymbol}, {0x1FADA, 0x1FADB, kSymbol},
    {0x1FAE8, 0x1FAE8, kSymbol}, {0x1FAF7, 0x1FAF8, kSymbol},
    {0x2B739, 0x2B739, kLo},     {0x31350, 0x323AF, kLo},
};

// Punctuation by now that the package's Punctuation (Unicode 8) does not know.
constexpr Range kNewerPunctuation[] = {
    {0x61D, 0x61D},     {0x9FD, 0x9FD},     {0xA76, 0xA76},     {0xC77, 0xC77},     {0xC84, 0xC84},
    {0x1B7D, 0x1B7E},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},   {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59},
    {0x10F86, 0x10F89}, {0x1144B, 0x1144F}, {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C},
    {0x116B9, 0x116B9}, {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46},
    {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11C41, 0x11C45}, {0x11C70, 0x11C71},
    {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16E97, 0x16E9A},
    {0x16FE2, 0x16FE2}, {0x1E95E, 0x1E95F},
};

// Marks by now that its StripAccents (Unicode 9) does not know.
constexpr Range kNewerMarks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xAFA, 0xAFF},
    {0xB55, 0xB55},     {0xC04, 0xC04},     {0xC3C, 0xC3C},     {0xCF3, 0xCF3},     {0xD00, 0xD00},
    {0xD3B, 0xD3C},     {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x1715, 0x1715},
    {0x180F, 0x180F},   {0x1ABF, 0x1ACE},   {0x1CF7, 0x1CF7},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},
    {0xA8FF, 0xA8FF},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x11073, 0x11074}, {0x110C2, 0x110C2}, {0x11145, 0x11146},
    {0x111C9, 0x111C9}, {0x111CE, 0x111CF}, {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E},
    {0x1182C, 0x1183A}, {0x11930, 0x11935}, {0x11937, 0x11938}, {0x1193B, 0x1193E}, {0x11940, 0x11940},
    {0x11942, 0x11943}, {0x119D1, 0x119D7}, {0x119DA, 0x119E0}, {0x119E4, 0x119E4}, {0x11A01, 0x11A0A},
    {0x11A33, 0x11A39}, {0x11A3B, 0x11A3E}, {0x11A47, 0x11A47}, {0x11A51, 0x11A5B}, {0x11A8A, 0x11A99},
    {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A}, {0x11D3C, 0x11D3D}, {0x11D3F, 0x11D45}, {0x11D47, 0x11D47},
    {0x11D8A, 0x11D8E}, {0x11D90, 0x11D91}, {0x11D93, 0x11D97}, {0x11EF3, 0x11EF6}, {0x11F00, 0x11F01},
    {0x11F03, 0x11F03}, {0x11F34, 0x11F3A}, {0x11F3E, 0x11F42}, {0x13440, 0x13440}, {0x13447, 0x13455},
    {0x16F4F, 0x16F4F}, {0x16F7F, 0x16F87}, {0x16FE4, 0x16FE4}, {0x16FF0, 0x16FF1}, {0x1CF00, 0x1CF2D},
    {0x1CF30, 0x1CF46}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF},
};

// Characters with a combining class or canonical mapping newer than its normal forms: inert there.
constexpr Range kNewerCombining[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
    {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
};

// The same for compatibility mappings.
constexpr Range kNewerCompat[] = {
    {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
    {0x107B2, 0x107BA}, {0x11938, 0x11938}, {0x1E030, 0x1E06D}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
};

template <class T, size_t N>
const T* find_range(const T (&ranges)[N], uint32_t c) {
  const T* it = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                 [](uint32_t value, const T& range) { return value < range.first; });
  if (it == std::begin(ranges)) return nullptr;
  --it;
  return c <= it->last ? it : nullptr;
}

Kind kind_of(uint32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU: return kLu;
    case UTF8PROC_CATEGORY_LL: return kLl;
    case UTF8PROC_CATEGORY_LT: return kLt;
    case UTF8PROC_CATEGORY_LM: return kLm;
    case UTF8PROC_CATEGORY_LO: return kLo;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return kM;
    case UTF8PROC_CATEGORY_ND: return kDigit;
    case UTF8PROC_CATEGORY_NL: return kLetterNumber;
    case UTF8PROC_CATEGORY_NO: return kNumberOther;
    case UTF8PROC_CATEGORY_PC: return kConnector;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return kPunct;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return kSymbol;
    case UTF8PROC_CATEGORY_CN: {
      const KindRange* range = find_range(kUnicode16, c);
      return range ? range->kind : kNone;
    }
    default: return kNone;
  }
}

bool is_white_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// Symbols that Unicode calls alphabetic: circled and squared Latin letters.
bool is_alphabetic_symbol(uint32_t c) {
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

uint8_t classify(uint32_t c) {
  uint8_t bits = 0;
  if (is_white_space(c)) bits |= kSpace;
  if (c == '\n' || c == '\r') bits |= kNewline;
  switch (kind_of(c)) {
    case kLu:
    case kLt: bits |= kLetter | kUpperish | kWord; break;
    case kLl: bits |= kLetter | kLowerish | kWord; break;
    case kLm:
    case kLo: bits |= kLetter | kUpperish | kLowerish | kWord; break;
    case kM: bits |= kMark | kUpperish | kLowerish | kWord; break;
    case kDigit:
    case kLetterNumber: bits |= kNumber | kWord; break;
    case kNumberOther: bits |= kNumber; break;
    case kConnector: bits |= kWord; break;
    case kPunct:
    case kNone: bits |= (c == 0x200C || c == 0x200D) ? kWord : 0; break;
    case kSymbol: bits |= is_alphabetic_symbol(c) ? kWord : 0; break;
  }
  return bits;
}

constexpr uint8_t ascii_class(uint32_t c) {
  if (c == '\n' || c == '\r') return kSpace | kNewline;
  if ((c >= 9 && c <= 13) || c == ' ') return kSpace;
  if (c >= 'A' && c <= 'Z') return kLetter | kUpperish | kWord;
  if (c >= 'a' && c <= 'z') return kLetter | kLowerish | kWord;
  if (c >= '0' && c <= '9') return kNumber | kWord;
  return c == '_' ? kWord : 0;
}

// Lowercase pairs newer than utf8proc 2.8, and the one letter whose lowercase is two code points.
void append_lower(std::string& out, uint32_t c) {
  if (c == 0x130) {
    out += "i\u0307";
    return;
  }
  uint32_t lower = static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  if (lower == c) {
    if (c == 0x1C89 || c == 0xA7CC || c == 0xA7CE || c == 0xA7D2 || c == 0xA7D4 || c == 0xA7DA) lower = c + 1;
    if (c == 0xA7CB) lower = 0x264;
    if (c == 0xA7DC) lower = 0x19B;
    if (c >= 0x10D50 && c <= 0x10D65) lower = c + 0x20;
    if (c >= 0x16EA0 && c <= 0x16EB8) lower = c + 0x1B;
  }
  append_char(out, lower);
}

bool is_inert(uint32_t c, bool compat) {
  return find_range(kNewerCombining, c) != nullptr || (compat && find_range(kNewerCompat, c) != nullptr);
}

// Appends the normal form of `part`, which holds no inert character. utf8proc sorts combining marks by
// bubbling, which is quadratic on a hostile run, so only its tables and its composition are used.
void append_normalized(std::string& out, std::string_view part, int options, std::vector<int32_t>& buffer) {
  if (part.empty()) return;
  buffer.clear();
  for (size_t at = 0; at < part.size(); at += char_length(static_cast<unsigned char>(part[at]))) {
    constexpr size_t kLongest = 32;  // U+FDFA has 18
    const size_t used = buffer.size();
    buffer.resize(used + kLongest);
    const auto count = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(decode_char(part, at)), buffer.data() + used, kLongest,
        static_cast<utf8proc_option_t>(options | UTF8PROC_DECOMPOSE), nullptr);
    HOIST_CHECK(count >= 0 && static_cast<size_t>(count) <= kLongest, "utf8proc_decompose_char");
    buffer.resize(used + static_cast<size_t>(count));
  }
  const auto combining = [](int32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (size_t i = 0; i < buffer.size();) {
    if (combining(buffer[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < buffer.size() && combining(buffer[end]) != 0) ++end;
    std::stable_sort(buffer.begin() + static_cast<ptrdiff_t>(i), buffer.begin() + static_cast<ptrdiff_t>(end),
                     [&](int32_t a, int32_t b) { return combining(a) < combining(b); });
    i = end;
  }
  if (options & UTF8PROC_COMPOSE) {
    const auto length = utf8proc_normalize_utf32(buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()),
                                                 static_cast<utf8proc_option_t>(options | UTF8PROC_STABLE));
    HOIST_CHECK(length >= 0, "utf8proc_normalize_utf32");
    buffer.resize(static_cast<size_t>(length));
  }
  for (const int32_t c : buffer) append_char(out, static_cast<uint32_t>(c));
}

}  // namespace

#define HOIST_ROW(n)                                                                              \
  ascii_class(n), ascii_class(n + 1), ascii_class(n + 2), ascii_class(n + 3), ascii_class(n + 4), \
      ascii_class(n + 5), ascii_class(n + 6), ascii_class(n + 7)
const uint8_t kAsciiClass[128] = {HOIST_ROW(0),  HOIST_ROW(8),   HOIST_ROW(16),  HOIST_ROW(24),
                                  HOIST_ROW(32), HOIST_ROW(40),  HOIST_ROW(48),  HOIST_ROW(56),
                                  HOIST_ROW(64), HOIST_ROW(72),  HOIST_ROW(80),  HOIST_ROW(88),
                                  HOIST_ROW(96), HOIST_ROW(104), HOIST_ROW(112), HOIST_ROW(120)};
#undef HOIST_ROW

uint8_t class_of_wide(uint32_t code_point) { return classify(code_point); }

bool is_numeric(uint32_t c) {
  if (c < 128) return c >= '0' && c <= '9';
  return (class_of_wide(c) & kNumber) != 0 || (c >= 0x11DE0 && c <= 0x11DE9) ||
         (c >= 0x16FF4 && c <= 0x16FF6);
}

bool is_punctuation(uint32_t c) {
  if (c < 128) return c > ' ' && c < 127 && !(kAsciiClass[c] & (kLetter | kNumber));
  if (c == 0x166D || c == 0x111C9) return true;
  if (utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_CN) return false;
  const Kind kind = kind_of(c);
  return (kind == kPunct || kind == kConnector) && find_range(kNewerPunctuation, c) == nullptr;
}

bool is_accent(uint32_t c) {
  if (c < 128) return false;
  if (c == 0x1CF2 || c == 0x1CF3) return true;
  if (utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_CN) return false;
  return kind_of(c) == kM && find_range(kNewerMarks, c) == nullptr;
}

std::string newer_ranges(std::string_view category) {
  const auto belongs = [&](Kind kind) {
    switch (kind) {
      case kLu: return category == "L" || category == "Lu";
      case kLl: return category == "L" || category == "Ll";
      case kLt: return category == "L" || category == "Lt";
      case kLm: return category == "L" || category == "Lm";
      case kLo: return category == "L" || category == "Lo";
      case kM: return category == "M";
      case kDigit: return category == "N" || category == "Nd";
      case kLetterNumber: return category == "N" || category == "Nl";
      case kNumberOther: return category == "N" || category == "No";
      case kPunct: return category == "P";
      case kSymbol: return category == "S";
      default: return false;
    }
  };
  std::string out;
  const auto add = [&](const KindRange& range) {
    if (belongs(range.kind)) out += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", range.first, range.last);
  };
  for (const KindRange& range : kUnicode15) add(range);
  for (const KindRange& range : kUnicode16) add(range);
  return out;
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = decode_char(text, at);
    at += char_length(static_cast<unsigned char>(text[at]));
    if (c < 128) {
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    } else {
      append_lower(out, c);
    }
  }
  return out;
}

std::string normalize(std::string_view text, NormalForm form) {
  const auto is_ascii = [&](size_t at) { return static_cast<signed char>(text[at]) >= 0; };
  const bool compat = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const int options = (compose ? UTF8PROC_COMPOSE : 0) | (compat ? UTF8PROC_COMPAT : 0);
  std::string out;
  out.reserve(text.size());
  std::vector<int32_t> buffer;
  for (size_t at = 0; at < text.size();) {
    // ASCII is its own normal form, but the last letter may join a mark that follows.
    size_t begin = at;
    while (at < text.size() && is_ascii(at)) ++at;
    if (at == text.size()) {
      out.append(text.substr(begin));
      break;
    }
    if (at > begin) {
      out.append(text.substr(begin, at - 1 - begin));
      begin = at - 1;
    }
    // An inert character neither moves nor joins its neighbours, so the text may be cut around it.
    while (at < text.size() && !is_ascii(at)) {
      const size_t length = char_length(static_cast<unsigned char>(text[at]));
      if (is_inert(decode_char(text, at), compat)) {
        append_normalized(out, text.substr(begin, at - begin), options, buffer);
        out.append(text.substr(at, length));
        begin = at + length;
      }
      at += length;
    }
    append_normalized(out, text.substr(begin, at - begin), options, buffer);
  }
  return out;
}

}  // namespace hoist::text
