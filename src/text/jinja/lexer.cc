#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "text/jinja/strings.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace hoist::text::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// One kind of newline, and none at the very end: Jinja's defaults.
std::string normalize_newlines(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r') {
      if (i + 1 < text.size() && text[i + 1] == '\n') continue;
      out += '\n';
    } else {
      out += text[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string text, const std::string& source) : text_(std::move(text)), source_(source) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) {
      count_lines();
      const size_t tag = find_tag();
      if (tag == std::string::npos) {
        emit_text(text_.substr(at_));
        at_ = text_.size();
        break;
      }
      const char kind = text_[tag + 1];
      const bool line_start = at_ == 0 || text_[at_ - 1] == '\n';
      std::string before = text_.substr(at_, tag - at_);
      at_ = tag + 2;
      char sign = 0;
      if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) sign = text_[at_++];
      strip_before(before, sign, line_start, kind != '{');
      emit_text(before);
      count_lines();
      if (kind == '#') {
        skip_comment();
      } else if (kind == '{') {
        inside('}');
      } else if (!raw_block()) {
        inside('%');
      }
    }
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::string_view message) const {
    throw_corrupt(fmt::format("{}: line {}: {}", source_, line_, repair_utf8(message)));
  }

  // Brings line_ up to at_. Called where a token starts, so that a token's line is its first.
  void count_lines() {
    for (; counted_ < at_; ++counted_) line_ += text_[counted_] == '\n';
  }

  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }

  void emit_text(std::string text) {
    if (!text.empty()) push(TokenKind::kText, std::move(text));
  }

  size_t find_tag() const {
    for (size_t i = at_; i + 1 < text_.size(); ++i) {
      i = text_.find('{', i);
      if (i == std::string::npos || i + 1 >= text_.size()) break;
      if (text_[i + 1] == '{' || text_[i + 1] == '%' || text_[i + 1] == '#') return i;
    }
    return std::string::npos;
  }

  // `-` takes all whitespace before a tag; without a sign a block or comment that stands first on its line
  // takes the indentation.
  static void strip_before(std::string& before, char sign, bool line_start, bool block) {
    if (sign == '-') {
      before.resize(strip_right(before).size());
    } else if (sign == 0 && block) {
      const size_t newline = before.rfind('\n');
      const size_t start = newline == std::string::npos ? 0 : newline + 1;
      if (start == 0 && !line_start) return;
      if (strip_left(std::string_view(before).substr(start)).empty()) before.resize(start);
    }
  }

  void skip_space() {
    while (at_ < text_.size()) {
      const size_t n = space_length(text_, at_);
      if (n == 0) return;
      at_ += n;
    }
  }

  // After the tag's last bytes: `-` takes the whitespace that follows, a plain block end one newline.
  void finish_tag(char sign, bool block) {
    if (sign == '-') {
      skip_space();
    } else if (sign == 0 && block && at_ < text_.size() && text_[at_] == '\n') {
      ++at_;
    }
  }

  void skip_comment() {
    const size_t end = text_.find("#}", at_);
    if (end == std::string::npos) fail("this comment has no end, expected '#}'");
    char sign = 0;
    if (end > at_ && (text_[end - 1] == '-' || text_[end - 1] == '+')) sign = text_[end - 1];
    at_ = end + 2;
    finish_tag(sign, true);
  }

  // {% raw %}text{% endraw %}: at_ stands behind "{%" and its sign. False: another tag.
  bool raw_block() {
    size_t i = after_space(at_);
    if (text_.compare(i, 3, "raw") != 0) return false;
    i = after_space(i + 3);
    const bool dash = i < text_.size() && text_[i] == '-';
    if (text_.compare(i + dash, 2, "%}") != 0) return false;
    at_ = i + dash + 2;
    if (dash) at_ = after_space(at_);
    const bool line_start = at_ > 0 && text_[at_ - 1] == '\n';
    for (size_t tag = text_.find("{%", at_); tag != std::string::npos; tag = text_.find("{%", tag + 1)) {
      size_t j = tag + 2;
      char sign = 0;
      if (j < text_.size() && (text_[j] == '-' || text_[j] == '+')) sign = text_[j++];
      j = after_space(j);
      if (text_.compare(j, 6, "endraw") != 0) continue;
      j = after_space(j + 6);
      char end_sign = 0;
      if (j < text_.size() && (text_[j] == '-' || text_[j] == '+')) end_sign = text_[j++];
      if (text_.compare(j, 2, "%}") != 0) continue;
      std::string body = text_.substr(at_, tag - at_);
      strip_before(body, sign, line_start, true);
      emit_text(body);
      at_ = j + 2;
      finish_tag(end_sign, true);
      return true;
    }
    fail("this raw block has no end, expected '{% endraw %}'");
  }

  size_t after_space(size_t i) const {
    while (i < text_.size()) {
      const size_t n = space_length(text_, i);
      if (n == 0) break;
      i += n;
    }
    return std::min(i, text_.size());
  }

  // The tokens of a tag up to its end: "}}" or "%}", which count only outside brackets.
  void inside(char close) {
    const bool block = close == '%';
    const int start_line = line_;
    push(block ? TokenKind::kBlockBegin : TokenKind::kOutputBegin, block ? "{%" : "{{");
    std::string open;  // the closing brackets we wait for
    while (true) {
      skip_space();
      count_lines();
      if (at_ >= text_.size()) {
        line_ = start_line;
        fail(fmt::format("this tag has no end, expected '{}'", block ? "%}" : "}}"));
      }
      if (open.empty()) {
        const char c = text_[at_];
        const bool sign = c == '-' || (block && c == '+');
        if (text_.compare(at_ + sign, 2, block ? "%}" : "}}") == 0) {
          push(block ? TokenKind::kBlockEnd : TokenKind::kOutputEnd, block ? "%}" : "}}");
          at_ += sign + 2;
          finish_tag(sign ? c : 0, block);
          return;
        }
      }
      const char c = text_[at_];
      const auto word = [&] {
        return static_cast<unsigned char>(c) < 0x80 ? c == '_' || is_digit(c) || (class_of(c) & kLetter)
                                                    : (class_of(decode_char(text_, at_)) & kWord) != 0;
      };
      if (is_digit(c)) {
        number();
      } else if (c == '"' || c == '\'') {
        string(c);
      } else if (word()) {
        name();
      } else {
        operation(open);
      }
    }
  }

  void name() {
    const size_t start = at_;
    while (at_ < text_.size()) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c < 0x80 ? !(c == '_' || is_digit(text_[at_]) || (class_of(c) & kLetter))
                   : !(class_of(decode_char(text_, at_)) & kWord))
        break;
      at_ += char_length(c);
    }
    push(TokenKind::kName, text_.substr(start, at_ - start));
  }

  // digits with single underscores between them; adds them to `out` without these
  bool digits(std::string& out, int base) {
    const size_t start = at_;
    while (at_ < text_.size()) {
      const bool gap = text_[at_] == '_' && at_ > start;
      const size_t i = at_ + gap;
      if (i >= text_.size()) break;
      const int digit = hex_value(text_[i]);
      if (digit < 0 || digit >= base) break;
      out += text_[i];
      at_ = i + 1;
    }
    return at_ > start;
  }

  void number() {
    const size_t start = at_;
    std::string out;
    if (text_[at_] == '0' && at_ + 1 < text_.size()) {
      const char kind = static_cast<char>(text_[at_ + 1] | 0x20);
      const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
      if (base != 0) {
        at_ += 2;
        if (!digits(out, base)) fail("expected digits");
        integer(out, base);
        return;
      }
    }
    digits(out, 10);
    // In `x.0.1` the numbers are two keys.
    if (start > 0 && text_[start - 1] == '.') return integer(out, 10);
    bool real = false;
    if (at_ + 1 < text_.size() && text_[at_] == '.' && is_digit(text_[at_ + 1])) {
      real = true;
      out += '.';
      ++at_;
      digits(out, 10);
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      size_t i = at_ + 1;
      if (i < text_.size() && (text_[i] == '+' || text_[i] == '-')) ++i;
      if (i < text_.size() && is_digit(text_[i])) {
        real = true;
        out += text_.substr(at_, i - at_);
        at_ = i;
        digits(out, 10);
      }
    }
    if (real)
      push(TokenKind::kFloat, std::move(out));
    else
      integer(out, 10);
  }

  void integer(const std::string& digits_text, int base) {
    int64_t value = 0;
    for (const char c : digits_text) {
      if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, hex_value(c), &value))
        fail(fmt::format("found the number {}, expected one of 64 bits", digits_text));
    }
    push(TokenKind::kInteger, std::to_string(value));
  }

  void string(char quote) {
    std::string out;
    ++at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        escape(out);
      } else {
        out += text_[at_++];
      }
    }
    if (at_ >= text_.size()) fail("this string has no end");
    ++at_;
    push(TokenKind::kString, std::move(out));
  }

  // Python's escapes; at_ stands on the backslash.
  void escape(std::string& out) {
    static constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
    const char c = text_[++at_];
    if (const size_t plain = kFrom.find(c); plain != std::string_view::npos) {
      out += kTo[plain];
      ++at_;
    } else if (c == '\n') {
      ++at_;
    } else if (c >= '0' && c <= '7') {
      uint32_t code = 0;
      for (int i = 0; i < 3 && at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '7'; ++i)
        code = code * 8 + static_cast<uint32_t>(text_[at_++] - '0');
      append_char(out, code);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const int count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      uint32_t code = 0;
      ++at_;
      for (int i = 0; i < count; ++i) {
        const int digit = at_ < text_.size() ? hex_value(text_[at_]) : -1;
        if (digit < 0) fail(fmt::format("expected {} hexadecimal digits after '\\{}'", count, c));
        code = code << 4 | static_cast<uint32_t>(digit);
        ++at_;
      }
      if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        fail(fmt::format("found the escape {:#x}, expected a character", code));
      append_char(out, code);
    } else if (c == 'N') {
      fail("escapes by a character's name are not supported");
    } else {
      out += '\\';  // Python keeps the backslash of an escape it does not know
    }
  }

  void operation(std::string& open) {
    static constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    const std::string_view rest = std::string_view(text_).substr(at_);
    for (const std::string_view two : kTwo) {
      if (rest.starts_with(two)) {
        at_ += 2;
        push(TokenKind::kOperator, std::string(two));
        return;
      }
    }
    const char c = text_[at_];
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos)
      fail(fmt::format("unexpected character '{}'",
                       rest.substr(0, char_length(static_cast<unsigned char>(c)))));
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail(fmt::format("unexpected '{}'", c));
      if (open.back() != c) fail(fmt::format("found '{}', expected '{}'", c, open.back()));
      open.pop_back();
    }
    ++at_;
    push(TokenKind::kOperator, std::string(1, c));
  }

  std::string text_;
  const std::string& source_;
  std::vector<Token> tokens_;
  size_t at_ = 0, counted_ = 0;
  int line_ = 1;
};

}  // namespace

std::vector<Token> tokenize(std::string_view text, const std::string& source) {
  if (!is_utf8(text)) throw_corrupt(source + ": line 1: found bytes that are not UTF-8");
  return Lexer(normalize_newlines(text), source).run();
}

}  // namespace hoist::text::jinja
