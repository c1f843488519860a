#include "text/grammar/regex_parser.h"

#include <fmt/format.h>

#include "base/error.h"
#include "text/utf8.h"

namespace hoist::text::grammar {
namespace {

constexpr size_t kMaxText = 16384;
constexpr int kMaxNesting = 64;
constexpr uint32_t kMaxCount = 16384;

CodeSet digits() { return CodeSet::range('0', '9'); }

CodeSet word() {
  CodeSet set = digits();
  set.add('A', 'Z');
  set.add('a', 'z');
  set.add('_', '_');
  return set;
}

// Engines disagree on the spaces beyond ASCII: \s takes none of them and \S none either, so both read our
// text as we do.
CodeSet ascii_space() {
  CodeSet set = CodeSet::range(9, 13);
  set.add(' ', ' ');
  return set;
}

CodeSet any_space() {
  CodeSet set = ascii_space();
  for (const uint32_t c : {0x85u, 0xA0u, 0x1680u, 0x2028u, 0x2029u, 0x202Fu, 0x205Fu, 0x3000u, 0xFEFFu}) {
    set.add(c, c);
  }
  set.add(0x1C, 0x1F);
  set.add(0x2000, 0x200A);
  return set;
}

CodeSet line_ends() {
  CodeSet set = CodeSet::range('\n', '\r');
  set.add(0x85, 0x85);
  set.add(0x2028, 0x2029);
  return set;
}

class Parser {
 public:
  Parser(RuleSet& rules, std::string_view text, const std::string& where, const RegexOptions& options)
      : rules_(rules), text_(text), where_(where), options_(options) {}

  ExprId parse() {
    if (text_.size() > kMaxText) {
      throw_unsupported(fmt::format("{}: found a regular expression of {} bytes, expected at most {}", where_,
                                    text_.size(), kMaxText));
    }
    if (!is_utf8(text_)) throw_invalid(where_ + ": not valid UTF-8");
    // Anchors stand at the ends of the whole expression's alternatives.
    const ExprId around = options_.search
                              ? rules_.repeat(options_.encode(rules_, options_.any), 0, kUnbounded)
                              : rules_.empty();
    std::vector<ExprId> branches;
    do {
      const bool from_start = take('^');
      anchored_end_ = false;
      const ExprId body = sequence(0);
      const bool to_end = anchored_end_;
      branches.push_back(
          rules_.seq({from_start ? rules_.empty() : around, body, to_end ? rules_.empty() : around}));
    } while (take('|'));
    if (at_ < text_.size()) refuse("an unmatched )");
    return rules_.alt(std::move(branches));
  }

 private:
  bool more() const { return at_ < text_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(char c) {
    if (!more() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  [[noreturn]] void refuse(std::string_view what) const {
    throw_invalid(fmt::format("{}: regular expression, offset {}: found {}: {}", where_, at_, what, text_));
  }
  [[noreturn]] void unsupported(std::string_view what) const {
    throw_unsupported(
        fmt::format("{}: regular expression, offset {}: {} is not supported: {}", where_, at_, what, text_));
  }

  ExprId alternatives(int depth) {
    if (depth > kMaxNesting) unsupported(fmt::format("nesting of more than {} groups", kMaxNesting));
    std::vector<ExprId> branches;
    do branches.push_back(sequence(depth));
    while (take('|'));
    return rules_.alt(std::move(branches));
  }

  ExprId sequence(int depth) {
    std::vector<ExprId> parts;
    while (more() && peek() != '|' && peek() != ')') {
      if (peek() == '$') {
        const bool last = at_ + 1 == text_.size() || peek(1) == '|';
        if (depth != 0 || !last) unsupported("$ before the end of an alternative, or in a group,");
        ++at_;
        anchored_end_ = true;
        break;
      }
      if (peek() == '^') unsupported("^ after the start of an alternative, or in a group,");
      parts.push_back(quantified(depth));
    }
    return rules_.seq(std::move(parts));
  }

  ExprId quantified(int depth) {
    const ExprId item = atom(depth);
    uint32_t low = 1, high = 1;
    if (take('*')) {
      low = 0, high = kUnbounded;
    } else if (take('+')) {
      high = kUnbounded;
    } else if (take('?')) {
      low = 0;
    } else if (peek() == '{') {
      if (!counts(low, high)) return item;
    } else {
      return item;
    }
    if (take('?')) return rules_.repeat(item, low, high);  // lazy: the same texts
    if (peek() == '+') unsupported("a possessive quantifier");
    if (peek() == '*' || (peek() == '{' && counts(low, high))) refuse("a quantifier after a quantifier");
    return rules_.repeat(item, low, high);
  }

  // False if the brace is no count; it is refused then, as engines disagree on what it means.
  bool counts(uint32_t& low, uint32_t& high) {
    ++at_;
    const auto number = [&](uint32_t& out) {
      if (peek() < '0' || peek() > '9') return false;
      uint64_t n = 0;
      while (peek() >= '0' && peek() <= '9') {
        n = n * 10 + static_cast<uint64_t>(text_[at_++] - '0');
        if (n > kMaxCount) unsupported(fmt::format("a count above {}", kMaxCount));
      }
      out = static_cast<uint32_t>(n);
      return true;
    };
    if (!number(low)) refuse("a { that starts no count; write \\{");
    high = low;
    if (take(',') && !number(high)) high = kUnbounded;
    if (!take('}')) refuse("a count without its }");
    if (low > high) refuse(fmt::format("a count from {} to {}", low, high));
    return true;
  }

  ExprId chars(const CodeSet& set) { return options_.encode(rules_, set); }

  ExprId atom(int depth) {
    const char c = peek();
    switch (c) {
      case '(': return group(depth);
      case '[': ++at_; return chars(bracket());
      case '.': ++at_; return chars(line_ends().complement());
      case '\\': {
        ++at_;
        CodeSet set;
        const uint32_t one = escape(set, false);
        return chars(one == kNoChar ? set : CodeSet::range(one, one));
      }
      case '*':
      case '+':
      case '?': refuse("a quantifier with nothing before it");
      case '{': refuse("a { with nothing before it; write \\{");
      default: {
        const uint32_t one = character();
        return chars(CodeSet::range(one, one));
      }
    }
  }

  ExprId group(int depth) {
    ++at_;
    if (take('?')) {
      if (take(':')) {
      } else if (peek() == '=' || peek() == '!') {
        unsupported("lookahead (?= (?!");
      } else if (peek() == '<' && (peek(1) == '=' || peek(1) == '!')) {
        unsupported("lookbehind (?<= (?<!");
      } else if (peek() == '<' || (peek() == 'P' && peek(1) == '<')) {
        while (more() && peek() != '>') ++at_;
        if (!take('>')) refuse("a group name without its >");
      } else if (peek() == '>') {
        unsupported("an atomic group (?>");
      } else {
        unsupported("a group that starts with (?, other than (?: and (?<name>,");
      }
    } else if (peek() == '*') {
      unsupported("a verb (*");
    }
    const ExprId inner = alternatives(depth + 1);
    if (!take(')')) refuse("a ( without its )");
    return inner;
  }

  static constexpr uint32_t kNoChar = UINT32_MAX;

  uint32_t character() {
    const uint32_t c = decode_char(text_, at_);
    at_ += char_length(static_cast<unsigned char>(text_[at_]));
    return c;
  }

  uint32_t hex(size_t digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) refuse("an escape with too few hexadecimal digits");
      value = value * 16 + static_cast<uint32_t>(digit);
      ++at_;
    }
    return value;
  }

  uint32_t braced_hex() {
    ++at_;
    uint32_t value = 0;
    while (more() && peek() != '}') {
      value = value * 16 + hex(1);
      if (value > 0x10FFFF) refuse("a code point above 10ffff");
    }
    if (!take('}')) refuse("an escape without its }");
    return value;
  }

  // After the backslash: one character, or kNoChar and a class in `set`.
  uint32_t escape(CodeSet& set, bool in_class) {
    if (!more()) refuse("a backslash at the end");
    const char c = peek();
    if (static_cast<unsigned char>(c) >= 0x80) return character();
    ++at_;
    uint32_t one = kNoChar;
    switch (c) {
      case 'd': set = digits(); return kNoChar;
      case 'D': set = digits().complement(); return kNoChar;
      case 'w': set = word(); return kNoChar;
      case 'W': set = word().complement(); return kNoChar;
      case 's': set = ascii_space(); return kNoChar;
      case 'S': set = any_space().complement(); return kNoChar;
      case 't': return '\t';
      case 'n': return '\n';
      case 'r': return '\r';
      case 'f': return '\f';
      case 'v': return '\v';
      case '0':
        if (peek() >= '0' && peek() <= '9') unsupported("an octal escape");
        return 0;
      case 'x': one = peek() == '{' ? braced_hex() : hex(2); break;
      case 'u': {
        one = peek() == '{' ? braced_hex() : hex(4);
        if (one >= 0xD800 && one < 0xDC00 && peek() == '\\' && peek(1) == 'u') {
          at_ += 2;
          const uint32_t low = hex(4);
          if (low < 0xDC00 || low > 0xDFFF) refuse("half of a surrogate pair");
          one = 0x10000 + ((one - 0xD800) << 10) + (low - 0xDC00);
        }
        break;
      }
      case 'b':
        if (in_class) return '\b';
        [[fallthrough]];
      case 'B': unsupported("the word boundary \\b \\B");
      case 'A':
      case 'Z':
      case 'z':
      case 'G': unsupported(fmt::format("the anchor \\{}", c));
      case 'p':
      case 'P': unsupported("the Unicode property \\p{ }");
      case 'k': unsupported("the backreference \\k");
      default:
        if (c >= '1' && c <= '9') unsupported(fmt::format("the backreference \\{}", c));
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) unsupported(fmt::format("\\{}", c));
        return static_cast<uint32_t>(c);
    }
    if (one >= 0xD800 && one <= 0xDFFF) refuse("half of a surrogate pair");
    return one;
  }

  CodeSet bracket() {
    const bool negated = take('^');
    CodeSet set;
    if (peek() == ']') unsupported("an empty class, or ] first in one; write \\]:");
    while (true) {
      if (!more()) refuse("a [ without its ]");
      if (take(']')) break;
      if (peek() == '[' && (peek(1) == ':' || peek(1) == '.' || peek(1) == '=')) {
        unsupported("a POSIX class [: :]");
      }
      const uint32_t low = class_item(set);
      if (peek() != '-' || peek(1) == ']' || at_ + 1 >= text_.size()) {
        if (low != kNoChar) set.add(low, low);
        continue;
      }
      if (low == kNoChar) unsupported("a range that starts with a class");
      ++at_;
      CodeSet unused;
      const uint32_t high = class_item(unused);
      if (high == kNoChar) unsupported("a range that ends with a class");
      if (low > high) refuse("a range from a larger to a smaller character");
      set.add(low, high);
    }
    return negated ? set.complement() : set;
  }

  uint32_t class_item(CodeSet& set) {
    if (!take('\\')) return character();
    CodeSet more_chars;
    const uint32_t one = escape(more_chars, true);
    if (one == kNoChar) set.add(more_chars);
    return one;
  }

  RuleSet& rules_;
  std::string_view text_;
  const std::string& where_;
  const RegexOptions& options_;
  size_t at_ = 0;
  bool anchored_end_ = false;
};

}  // namespace

ExprId parse_regex(RuleSet& rules, std::string_view text, const std::string& where,
                   const RegexOptions& options) {
  return Parser(rules, text, where, options).parse();
}

}  // namespace hoist::text::grammar
