#include "text/jinja/strings.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/unicode.h"
#include "text/utf8.h"

namespace hoist::text::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

bool wide_space(uint32_t c) {
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool plain_space(char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); }

// Calls body(code point, byte offset, length in bytes) for each character.
template <class Body>
void each_char(std::string_view text, Body body) {
  for (size_t i = 0; i < text.size();) {
    const size_t n = char_length(static_cast<unsigned char>(text[i]));
    body(decode_char(text, i), i, n);
    i += n;
  }
}

utf8proc_category_t category(uint32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }
bool is_letter(uint32_t c) {
  return category(c) >= UTF8PROC_CATEGORY_LU && category(c) <= UTF8PROC_CATEGORY_LO;
}
bool is_upper(uint32_t c) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_lower(uint32_t c) { return utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_cased(uint32_t c) { return is_upper(c) || is_lower(c) || category(c) == UTF8PROC_CATEGORY_LT; }

void append_upper(std::string& out, uint32_t c) {
  if (c == 0xDF) {
    out += "SS";
  } else {
    append_char(out, static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_title(std::string& out, uint32_t c) {
  if (c == 0xDF) {
    out += "Ss";
  } else {
    append_char(out, static_cast<uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

bool contains_char(std::string_view characters, std::string_view one) {
  for (size_t i = 0; i < characters.size();) {
    const size_t n = char_length(static_cast<unsigned char>(characters[i]));
    if (characters.substr(i, n) == one) return true;
    i += n;
  }
  return false;
}

}  // namespace

size_t space_length(std::string_view text, size_t at) {
  if (at >= text.size()) return 0;
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return plain_space(text[at]);
  return wide_space(decode_char(text, at)) ? char_length(lead) : 0;
}

std::string_view strip_left(std::string_view text) {
  while (const size_t n = space_length(text, 0)) text.remove_prefix(n);
  return text;
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    const size_t last = previous_char(text, text.size());
    if (space_length(text, last) == 0) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string_view strip_left(std::string_view text, std::string_view characters) {
  while (!text.empty()) {
    const size_t n = char_length(static_cast<unsigned char>(text[0]));
    if (!contains_char(characters, text.substr(0, n))) break;
    text.remove_prefix(n);
  }
  return text;
}

std::string_view strip_right(std::string_view text, std::string_view characters) {
  while (!text.empty()) {
    const size_t last = previous_char(text, text.size());
    if (!contains_char(characters, text.substr(last))) break;
    text = text.substr(0, last);
  }
  return text;
}

size_t count_chars(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += char_length(static_cast<unsigned char>(text[at]));
  return at;
}

std::string upper(std::string_view text) {
  std::string out;
  each_char(text, [&](uint32_t c, size_t, size_t) { append_upper(out, c); });
  return out;
}

std::string lower(std::string_view text) { return lowercase(text); }

std::string capitalize(std::string_view text) {
  if (text.empty()) return "";
  std::string out;
  append_title(out, decode_char(text, 0));
  return out + lower(text.substr(char_length(static_cast<unsigned char>(text[0]))));
}

std::string title(std::string_view text) {
  std::string out;
  bool inside = false;
  each_char(text, [&](uint32_t c, size_t i, size_t n) {
    if (inside)
      out += lower(text.substr(i, n));
    else
      append_title(out, c);
    inside = is_cased(c);
  });
  return out;
}

std::string title_filter(std::string_view text) {
  std::string out;
  bool first = true;
  each_char(text, [&](uint32_t c, size_t i, size_t n) {
    if (space_length(text, i) != 0 || c == '-' || c == '(' || c == '{' || c == '[' || c == '<') {
      out += text.substr(i, n);
      first = true;
    } else {
      if (first)
        append_upper(out, c);
      else
        out += lower(text.substr(i, n));
      first = false;
    }
  });
  return out;
}

std::string swapcase(std::string_view text) {
  std::string out;
  each_char(text, [&](uint32_t c, size_t i, size_t n) {
    if (is_upper(c))
      out += lower(text.substr(i, n));
    else
      append_upper(out, c);
  });
  return out;
}

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    int64_t limit) {
  std::vector<std::string_view> parts;
  if (!separator) {
    text = strip_left(text);
    while (!text.empty()) {
      if (limit >= 0 && static_cast<int64_t>(parts.size()) >= limit) {
        parts.push_back(text);
        break;
      }
      size_t end = 0;
      while (end < text.size() && space_length(text, end) == 0)
        end += char_length(static_cast<unsigned char>(text[end]));
      parts.push_back(text.substr(0, end));
      text = strip_left(text.substr(end));
    }
    return parts;
  }
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = text.find(*separator);
    if (at == kNone) break;
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator->size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_right(std::string_view text, std::optional<std::string_view> separator,
                                          int64_t limit) {
  if (limit < 0) return split(text, separator, limit);
  std::vector<std::string_view> parts;
  if (!separator) {
    text = strip_right(text);
    while (!text.empty()) {
      if (static_cast<int64_t>(parts.size()) >= limit) {
        parts.push_back(text);
        break;
      }
      size_t start = text.size();
      while (start > 0) {
        const size_t previous = previous_char(text, start);
        if (space_length(text, previous) != 0) break;
        start = previous;
      }
      parts.push_back(text.substr(start));
      text = strip_right(text.substr(0, start));
    }
  } else {
    while (static_cast<int64_t>(parts.size()) < limit) {
      const size_t at = text.rfind(*separator);
      if (at == kNone) break;
      parts.push_back(text.substr(at + separator->size()));
      text = text.substr(0, at);
    }
    parts.push_back(text);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    size_t n = char_length(static_cast<unsigned char>(text[i]));
    const uint32_t c = decode_char(text, i);
    const bool end = (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') n = 2;
    i += n;
    if (!end) continue;
    lines.push_back(text.substr(start, i - start - (keep_ends ? 0 : n)));
    start = i;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

size_t count_parts(std::string_view text, std::string_view part) {
  if (part.empty()) return count_chars(text) + 1;
  size_t count = 0;
  for (size_t at = text.find(part); at != kNone; at = text.find(part, at + part.size())) ++count;
  return count;
}

bool all_chars(std::string_view text, CharTest test) {
  if (test == CharTest::kAscii)
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (text.empty()) return false;
  bool all = true, cased = false, previous = false, first = true;
  each_char(text, [&](uint32_t c, size_t i, size_t) {
    const utf8proc_category_t cat = category(c);
    const bool decimal = cat == UTF8PROC_CATEGORY_ND;
    switch (test) {
      case CharTest::kAlpha: all &= is_letter(c); break;
      case CharTest::kDigit:
        all &= decimal || (cat == UTF8PROC_CATEGORY_NO && (c == 0xB2 || c == 0xB3 || c == 0xB9));
        break;
      case CharTest::kDecimal: all &= decimal; break;
      case CharTest::kAlnum: all &= is_letter(c) || is_numeric(c); break;
      case CharTest::kSpace: all &= space_length(text, i) != 0; break;
      case CharTest::kUpper: all &= !is_lower(c) && cat != UTF8PROC_CATEGORY_LT; break;
      case CharTest::kLower: all &= !is_upper(c) && cat != UTF8PROC_CATEGORY_LT; break;
      case CharTest::kTitle:
        if (is_upper(c) || cat == UTF8PROC_CATEGORY_LT) all &= !previous;
        if (is_lower(c)) all &= previous;
        previous = is_cased(c);
        break;
      case CharTest::kIdentifier: all &= c == '_' || is_letter(c) || (!first && decimal); break;
      case CharTest::kAscii: break;
    }
    cased |= is_cased(c);
    first = false;
  });
  const bool wants_case = test == CharTest::kUpper || test == CharTest::kLower || test == CharTest::kTitle;
  return all && (cased || !wants_case);
}

void append_json_string(std::string& out, std::string_view text, bool ascii) {
  out += '"';
  each_char(text, [&](uint32_t c, size_t i, size_t n) {
    switch (c) {
      case '"': out += "\\\""; return;
      case '\\': out += "\\\\"; return;
      case '\n': out += "\\n"; return;
      case '\r': out += "\\r"; return;
      case '\t': out += "\\t"; return;
      case '\f': out += "\\f"; return;
      case '\b': out += "\\b"; return;
      default: break;
    }
    if (c >= 0x20 && (c < 0x7F || !ascii)) {
      out += text.substr(i, n);
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out +=
          fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
    }
  });
  out += '"';
}

void append_repr(std::string& out, std::string_view text) {
  const bool single = text.find('\'') == kNone || text.find('"') != kNone;
  const char quote = single ? '\'' : '"';
  out += quote;
  each_char(text, [&](uint32_t c, size_t i, size_t n) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\\' || c == static_cast<uint32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", c);
    } else if (c < 0x7F) {
      out += static_cast<char>(c);
    } else {
      // Other than letters, marks, numbers, punctuation and symbols nothing is printable.
      const utf8proc_category_t cat = category(c);
      if (cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_SO) {
        out += text.substr(i, n);
      } else {
        out += c < 0x100     ? fmt::format("\\x{:02x}", c)
               : c < 0x10000 ? fmt::format("\\u{:04x}", c)
                             : fmt::format("\\U{:08x}", c);
      }
    }
  });
  out += quote;
}

std::string float_text(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
  std::string out = fmt::format("{}", x);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::optional<int64_t> parse_int(std::string_view text, int base) {
  text = strip_right(strip_left(text));
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.size() > 2 && text[0] == '0') {
    const char kind = static_cast<char>(text[1] | 0x20);
    const int marked = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : -1;
    if (marked > 0 && (base == marked || base == 0)) {
      base = marked;
      text.remove_prefix(2);
      if (text[0] == '_') text.remove_prefix(1);
    }
  }
  if (base == 0) base = 10;
  std::string digits = negative ? "-" : "";
  bool gap = true;  // an underscore may not come first, last or twice
  for (const char c : text) {
    if (c == '_') {
      if (gap) return std::nullopt;
    } else {
      digits += c;
    }
    gap = c == '_';
  }
  if (gap) return std::nullopt;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_float(std::string_view text) {
  text = strip_right(strip_left(text));
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
    if (text[i] == '_') {
      if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
    } else {
      digits += text[i];
    }
  }
  if (digits.empty()) return std::nullopt;
  double value = 0;
  const std::string small = lower(digits);
  if (small == "inf" || small == "infinity") {
    value = HUGE_VAL;
  } else if (small == "nan") {
    value = std::nan("");
  } else {
    if (digits[0] != '.' && !(digits[0] >= '0' && digits[0] <= '9')) return std::nullopt;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (end != digits.data() + digits.size()) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      // from_chars does not say which way: a negative exponent means too small.
      const size_t exponent = small.find('e');
      value = exponent != kNone && small.compare(exponent + 1, 1, "-") == 0 ? 0 : HUGE_VAL;
    } else if (error != std::errc()) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace hoist::text::jinja
