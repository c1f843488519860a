#include "text/grammar/ebnf_parser.h"

#include <fmt/format.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "text/utf8.h"

namespace hoist::text::grammar {
namespace {

constexpr size_t kMaxText = size_t{1} << 20;
constexpr int kMaxNesting = 64;
constexpr uint32_t kMaxCount = 16384;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class Parser {
 public:
  Parser(RuleSet& rules, std::string_view text) : rules_(rules), text_(text) {}

  ExprId parse() {
    if (text_.size() > kMaxText) {
      throw_invalid(fmt::format("grammar: found {} bytes, expected at most {}", text_.size(), kMaxText));
    }
    if (!is_utf8(text_)) throw_invalid("grammar: not valid UTF-8");
    skip();
    while (at_ < text_.size()) {
      const size_t begin = at_;
      const std::string_view name = take_name();
      if (name.empty()) refuse("expected a rule: name ::= ...");
      skip();
      if (!take("::=")) refuse("expected ::= after the rule's name");
      Named& rule = named(name, begin);
      if (rule.defined) {
        at_ = begin;
        refuse(fmt::format("rule {} is defined twice", name));
      }
      rule.defined = true;
      const RuleId id = rule.id;
      skip();
      rules_.define(id, alternatives(0));
      if (at_ < text_.size() && !starts_rule()) refuse("expected a rule, an item or |");
    }
    for (const auto& [name, rule] : names_) {
      if (rule.defined) continue;
      at_ = rule.first_use;
      refuse(fmt::format("rule {} is not defined", name));
    }
    const auto root = names_.find("root");
    if (root == names_.end()) throw_invalid("grammar: found no rule named root, where every text begins");
    return rules_.call(root->second.id);
  }

 private:
  struct Named {
    RuleId id;
    size_t first_use;
    bool defined = false;
  };

  [[noreturn]] void refuse(std::string_view what) const {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at_ && i < text_.size(); ++i) {
      column = text_[i] == '\n' ? 1 : column + 1;
      line += text_[i] == '\n';
    }
    std::string found = "the end";
    if (at_ < text_.size()) found = fmt::format("\"{}\"", repair_utf8(text_.substr(at_, 20)));
    throw_invalid(fmt::format("grammar, line {}, column {}: {}; found {}", line, column, what, found));
  }

  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  bool take(std::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }

  void skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view take_name() {
    const size_t begin = at_;
    while (is_name_char(peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // A name with ::= after it ends the rule before it, so line ends need no meaning.
  bool starts_rule() {
    const size_t begin = at_;
    const bool name = !take_name().empty();
    skip();
    const bool result = name && text_.substr(at_, 3) == "::=";
    at_ = begin;
    return result;
  }

  Named& named(std::string_view name, size_t use) {
    const auto found = names_.find(std::string(name));
    if (found != names_.end()) return found->second;
    return names_.emplace(name, Named{rules_.add_rule(std::string(name)), use}).first->second;
  }

  ExprId alternatives(int depth) {
    if (depth > kMaxNesting) refuse(fmt::format("more than {} nested groups", kMaxNesting));
    std::vector<ExprId> branches;
    while (true) {
      branches.push_back(sequence(depth));
      if (!take("|")) return rules_.alt(std::move(branches));
      skip();
    }
  }

  ExprId sequence(int depth) {
    std::vector<ExprId> parts;
    while (at_ < text_.size()) {
      const char c = peek();
      ExprId item;
      if (c == '"') {
        item = literal();
      } else if (c == '[') {
        item = char_class();
      } else if (c == '.') {
        ++at_;
        item = utf8_char(rules_, CodeSet::all());
      } else if (c == '(') {
        ++at_;
        skip();
        item = alternatives(depth + 1);
        if (!take(")")) refuse("expected ) or an item");
      } else if (is_name_char(c)) {
        if (starts_rule()) break;
        const size_t use = at_;
        item = rules_.call(named(take_name(), use).id);
      } else {
        break;
      }
      parts.push_back(quantified(item));
    }
    return rules_.seq(std::move(parts));
  }

  ExprId quantified(ExprId item) {
    for (int count = 0;; ++count) {
      skip();
      uint32_t low = 1, high = 1;
      if (take("*")) {
        low = 0, high = kUnbounded;
      } else if (take("+")) {
        high = kUnbounded;
      } else if (take("?")) {
        low = 0;
      } else if (take("{")) {
        low = number();
        high = low;
        if (take(",")) high = peek() == '}' ? kUnbounded : number();
        if (!take("}")) refuse("expected } after a count");
        if (low > high) refuse(fmt::format("found a count from {} to {}", low, high));
      } else {
        return item;
      }
      if (count > 0) refuse("found a second quantifier; put the first in a group");
      item = rules_.repeat(item, low, high);
    }
  }

  uint32_t number() {
    if (peek() < '0' || peek() > '9') refuse("expected a count");
    uint32_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint32_t>(text_[at_++] - '0');
      if (value > kMaxCount) refuse(fmt::format("a count is at most {}", kMaxCount));
    }
    return value;
  }

  uint32_t character() {
    if (at_ >= text_.size()) refuse("expected a character");
    if (!take("\\")) {
      const uint32_t c = decode_char(text_, at_);
      at_ += char_length(static_cast<unsigned char>(text_[at_]));
      return c;
    }
    const char c = peek();
    ++at_;
    switch (c) {
      case 'n': return '\n';
      case 'r': return '\r';
      case 't': return '\t';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '^':
      case '-': return static_cast<uint32_t>(c);
      case 'x': return hex(2);
      case 'u': return hex(4);
      case 'U': return hex(8);
      default:
        --at_;
        refuse("expected one of the escapes \\n \\r \\t \\\\ \\\" \\[ \\] \\^ \\- \\xHH \\uHHHH \\UHHHHHHHH");
    }
  }

  uint32_t hex(int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) refuse("expected a hexadecimal digit");
      value = value * 16 + static_cast<uint64_t>(digit);
      ++at_;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
      refuse(fmt::format("{:x} is no code point", value));
    }
    return static_cast<uint32_t>(value);
  }

  ExprId literal() {
    ++at_;
    std::string text;
    while (!take("\"")) {
      if (at_ >= text_.size() || peek() == '\n') refuse("expected \" at the end of a literal");
      append_char(text, character());
    }
    return rules_.literal(text);
  }

  ExprId char_class() {
    ++at_;
    const bool negated = take("^");
    CodeSet set;
    while (!take("]")) {
      if (at_ >= text_.size() || peek() == '\n') refuse("expected ] at the end of a class");
      const uint32_t low = character();
      uint32_t high = low;
      if (peek() == '-' && peek(1) != ']') {
        ++at_;
        high = character();
        if (low > high) refuse("found a range from a larger to a smaller character before this");
      }
      set.add(low, high);
    }
    return utf8_char(rules_, negated ? set.complement() : set);
  }

  RuleSet& rules_;
  std::string_view text_;
  size_t at_ = 0;
  std::unordered_map<std::string, Named> names_;
};

}  // namespace

ExprId parse_ebnf(RuleSet& rules, std::string_view text) { return Parser(rules, text).parse(); }

}  // namespace hoist::text::grammar
