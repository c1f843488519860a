// EBNF grammars against a naive recogniser that follows the rules as they are written.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"
#include "grammar/support.h"

namespace hoist::text {
namespace {

// A grammar as a tree: printed for us, followed by the oracle.
struct Item {
  enum Kind { kText, kClass, kRule, kGroup } kind = kText;
  std::string text;                         // kText: the literal; kClass: its characters (ASCII)
  size_t rule = 0;                          // kRule
  std::vector<std::vector<Item>> branches;  // kGroup
  int low = 1, high = 1;                    // -1: no end
};
using Body = std::vector<std::vector<Item>>;

Body random_body(Rng& rng, size_t rules, int depth) {
  Body body;
  for (size_t b = 1 + below(rng, 3); b > 0; --b) {
    std::vector<Item> seq;
    for (size_t n = below(rng, 4); n > 0; --n) {
      Item item;
      switch (below(rng, depth > 0 ? 5 : 4)) {
        case 0: item.text = std::vector<const char*>{"a", "b", "ab", "ba", "aab"}[below(rng, 5)]; break;
        case 1:
          item.kind = Item::kClass;
          item.text = std::vector<const char*>{"ab", "bc", "c", "abc"}[below(rng, 4)];
          break;
        case 4:
          item.kind = Item::kGroup;
          item.branches = random_body(rng, rules, depth - 1);
          break;
        default: item.kind = Item::kRule; item.rule = below(rng, rules);
      }
      static const std::vector<std::pair<int, int>> counts = {{1, 1},  {1, 1}, {1, 1}, {1, 1}, {0, -1},
                                                              {1, -1}, {0, 1}, {2, 2}, {1, 3}, {2, -1}};
      std::tie(item.low, item.high) = counts[below(rng, counts.size())];
      seq.push_back(item);
    }
    body.push_back(seq);
  }
  return body;
}

std::string print(const Body& body) {
  std::string out;
  for (size_t b = 0; b < body.size(); ++b) {
    if (b) out += " | ";
    for (const Item& i : body[b]) {
      if (i.kind == Item::kText) out += "\"" + i.text + "\"";
      if (i.kind == Item::kClass) out += "[" + i.text + "]";
      if (i.kind == Item::kRule) out += i.rule ? "r" + std::to_string(i.rule) : std::string("root");
      if (i.kind == Item::kGroup) out += "(" + print(i.branches) + ")";
      if (i.low == 0 && i.high == -1)
        out += "*";
      else if (i.low == 1 && i.high == -1)
        out += "+";
      else if (i.low == 0 && i.high == 1)
        out += "?";
      else if (i.high == -1)
        out += "{" + std::to_string(i.low) + ",}";
      else if (i.low != 1 || i.high != 1)
        out += "{" + std::to_string(i.low) + "," + std::to_string(i.high) + "}";
      out += " ";
    }
  }
  return out;
}

// Ends of what a part can match from a start: all of them. Only for grammars without left recursion.
class Recognizer {
 public:
  Recognizer(const std::vector<Body>& rules, std::string text) : rules_(rules), text_(std::move(text)) {}
  bool matches() { return rule(0, 0).count(text_.size()) > 0; }

 private:
  using Ends = std::set<size_t>;
  Ends rule(size_t r, size_t at) {
    const auto found = known_.find({r, at});
    if (found != known_.end()) return found->second;
    known_[{r, at}] = {};  // comes back here only in rules that never end
    const Ends ends = body(rules_[r], at);
    return known_[{r, at}] = ends;
  }
  Ends body(const Body& b, size_t at) {
    Ends out;
    for (const auto& seq : b) {
      Ends now = {at};
      for (const Item& item : seq) now = repeated(item, now);
      out.insert(now.begin(), now.end());
    }
    return out;
  }
  Ends repeated(const Item& item, Ends now) {
    Ends out;
    if (item.low == 0) out = now;
    for (int n = 1; item.high == -1 || n <= item.high; ++n) {
      Ends next;
      for (const size_t at : now) next.merge(once(item, at));
      now = next;
      const size_t before = out.size();
      if (n >= item.low) out.insert(now.begin(), now.end());
      if (now.empty() || (n > item.low && out.size() == before)) break;
    }
    return out;
  }
  Ends once(const Item& item, size_t at) {
    switch (item.kind) {
      case Item::kText:
        return text_.compare(at, item.text.size(), item.text) == 0 ? Ends{at + item.text.size()} : Ends{};
      case Item::kClass:
        return at < text_.size() && item.text.find(text_[at]) != std::string::npos ? Ends{at + 1} : Ends{};
      case Item::kRule: return rule(item.rule, at);
      default: return body(item.branches, at);
    }
  }
  const std::vector<Body>& rules_;
  std::string text_;
  std::map<std::pair<size_t, size_t>, Ends> known_;
};

TEST(Ebnf, AcceptsWhatTheRulesSay) {
  Rng rng(21);
  const auto table = make_table(rng, 300);
  size_t used = 0, matched = 0, missed = 0, ambiguous = 0;
  while (used < 400) {
    std::vector<Body> rules;
    const size_t n = 1 + below(rng, 4);
    std::string text = "# a comment\n";
    for (size_t r = 0; r < n; ++r) {
      rules.push_back(random_body(rng, n, 2));
      text += (r ? "r" + std::to_string(r) : std::string("root")) + " ::= " + print(rules.back()) + "\n";
    }
    SCOPED_TRACE(text);
    std::shared_ptr<const Constraint> c;
    try {
      c = constrain(Grammar::from_ebnf(text), table);
    } catch (const Error& error) {
      const std::string what = error.what();
      ASSERT_TRUE(what.find("left recursion") != what.npos || what.find("matches no text") != what.npos ||
                  what.find("ambiguous") != what.npos)
          << what;
      continue;
    }
    ++used;
    std::vector<std::string> texts;
    try {
      for (int k = 0; k < 20; ++k) texts.push_back(generate(c, rng, c->min_tokens() + below(rng, 8)));
      for (int k = 0; k < 20; ++k) {
        std::string t = texts[k];
        if (!t.empty() && chance(rng, 0.5)) t.erase(below(rng, t.size()), 1);
        if (chance(rng, 0.7)) t.insert(below(rng, t.size() + 1), 1, static_cast<char>('a' + below(rng, 3)));
        texts.push_back(t);
      }
      for (int k = 0; k < 40; ++k) {
        std::string t;
        for (size_t i = below(rng, 7); i > 0; --i) t += static_cast<char>('a' + below(rng, 3));
        texts.push_back(t);
      }
      for (size_t k = 0; k < texts.size(); ++k) {
        if (texts[k].size() > 24) continue;
        const bool expected = Recognizer(rules, texts[k]).matches();
        (expected ? matched : missed) += 1;
        ASSERT_TRUE(k >= 20 || expected) << "generated: " << texts[k];
        ASSERT_EQ(matches(c, texts[k]), expected) << texts[k];
      }
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
      ++ambiguous;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(matched, 2000u);
  EXPECT_GT(missed, 2000u);
  EXPECT_LT(ambiguous, used / 20);
}

TEST(Ebnf, ReadsTheNotation) {
  Rng rng(1);
  const auto table = make_table(rng, 100);
  const char* arithmetic = R"G(
# arithmetic
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] ws term)*
term  ::= ident | num |
          "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws   # names
num   ::= [0-9]{1,3} ws
ws    ::= [ \t]*
)G";
  const auto c = constrain(Grammar::from_ebnf(arithmetic), table);
  EXPECT_TRUE(matches(c, "a + (b2*3) = 12\n"));
  EXPECT_TRUE(matches(c, "x=((1))\ny=2\n"));
  EXPECT_FALSE(matches(c, "x=1234\n"));
  EXPECT_FALSE(matches(c, "x=\n"));
  const auto d =
      constrain(Grammar::from_ebnf("root ::= [^a\\]\\x41-\\x43] . \"\\\"\\u00e9\" {2} \"x\"{2,}"), table);
  EXPECT_TRUE(matches(d, "b日\"\xc3\xa9\"\xc3\xa9xx"));
  EXPECT_FALSE(matches(d, "B日\"\xc3\xa9\"\xc3\xa9xx"));
  EXPECT_FALSE(matches(d, "b日\"\xc3\xa9xx"));
  EXPECT_FALSE(matches(d, "b日\"\xc3\xa9\"\xc3\xa9x"));
}

TEST(Ebnf, RefusesWithThePlace) {
  const std::vector<std::pair<std::string, const char*>> cases = {
      {"a ::= \"x\"", "no rule named root"},
      {"root ::= b", "line 1, column 10: rule b is not defined"},
      {"root ::= \"a", "expected \" at the end"},
      {"root ::= (\"a\"", "expected )"},
      {"root = \"a\"", "expected ::="},
      {"root ::= root \"a\" | \"a\"", "left recursion"},
      {"root ::= b | \"y\"\nb ::= \"x\"? root", "left recursion"},
      {"root ::= \"a\" root", "matches no text"},
      {"root ::= \"a\"\nroot ::= \"b\"", "defined twice"},
      {"root ::= [a", "expected ]"},
      {"root ::= \"a\"{3,2}", "count from 3 to 2"},
      {"root ::= \"\\q\"", "escapes"},
      {"root ::= \"a\" )", "expected a rule"},
      {"root ::= \"a\"**", "second quantifier"},
      {"root ::= \"\\ud800\"", "no code point"},
      {"root ::= " + std::string(100, '(') + "\"a\"" + std::string(100, ')'), "nested groups"},
      {"", "no rule named root"}};
  for (const auto& [text, what] : cases) {
    try {
      Grammar::from_ebnf(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << text << ": " << error.what();
    }
  }
}

}  // namespace
}  // namespace hoist::text
