// Regular expressions against PCRE2: random expressions, random texts, whole matches.
#include <gtest/gtest.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <optional>

#include "base/error.h"
#include "grammar/support.h"

namespace hoist::text {
namespace {

class Oracle {
 public:
  explicit Oracle(const std::string& expression) {
    int error = 0;
    PCRE2_SIZE at = 0;
    pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
    pcre2_set_newline(context, PCRE2_NEWLINE_ANY);
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                          PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY, &error, &at,
                          context);
    pcre2_compile_context_free(context);
    EXPECT_NE(code_, nullptr) << expression << " at " << at;
    data_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Oracle() {
    pcre2_match_data_free(data_);
    pcre2_code_free(code_);
  }
  // Nothing if the oracle itself gives up.
  std::optional<bool> matches(const std::string& text) const {
    const int rc =
        pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, data_, nullptr);
    if (rc == PCRE2_ERROR_MATCHLIMIT) return std::nullopt;
    EXPECT_TRUE(rc >= 0 || rc == PCRE2_ERROR_NOMATCH) << rc;
    return rc >= 0;
  }

 private:
  pcre2_code* code_;
  pcre2_match_data* data_;
};

std::string random_atom(Rng& rng, int depth);

std::string random_regex(Rng& rng, int depth) {
  std::string out;
  const size_t branches = 1 + below(rng, depth > 0 ? 3 : 1);
  for (size_t b = 0; b < branches; ++b) {
    if (b) out += '|';
    const size_t parts = below(rng, 4);
    for (size_t i = 0; i < parts; ++i) {
      out += random_atom(rng, depth);
      static const std::vector<const char*> quantifiers = {"",    "",      "",       "*",    "+", "?",
                                                           "{2}", "{1,3}", "{0,2}?", "{2,}", "*?"};
      out += quantifiers[below(rng, quantifiers.size())];
    }
  }
  return out;
}

std::string random_atom(Rng& rng, int depth) {
  static const std::vector<const char*> atoms = {
      "a",      "b",     "c",      "\\d",       "\\w",    "\\s",
      ".",      "[ab]",  "[^ab]",  "[a-c1-3]",  "\u00e9", "[\u00e0-\u00ff]",
      "\\.",    "\\x61", "[\\d_]", "\u65e5",    "[^\\w]", "\\D",
      "[b\\-]", "\\n",   "\\S",    "[^\u65e5]", "\\W",    "\U0001F600"};
  if (depth > 0 && chance(rng, 0.3)) {
    static const std::vector<const char*> open = {"(", "(?:", "(?<n>"};
    const size_t kind = below(rng, 2);
    return open[kind] + random_regex(rng, depth - 1) + ")";
  }
  return atoms[below(rng, atoms.size())];
}

std::string random_text(Rng& rng) {
  static const std::vector<const char*> letters = {"a",      "a",      "b",          "b",     "c", "1",
                                                   "2",      "_",      "-",          ".",     " ", "\n",
                                                   "\u00e9", "\u65e5", "\U0001F600", "\u00ff"};
  std::string out;
  for (size_t n = below(rng, 8); n > 0; --n) out += letters[below(rng, letters.size())];
  return out;
}

TEST(Regex, AcceptsWhatPcre2Does) {
  Rng rng(11);
  const auto table = make_table(rng, 300);
  size_t matched = 0, missed = 0;
  int too_big = 0;
  for (int i = 0; i < 700; ++i) {
    const std::string expression = random_regex(rng, 3);
    SCOPED_TRACE(expression);
    const Oracle oracle(expression);
    std::shared_ptr<const Constraint> c;
    try {
      c = constrain(Grammar::from_regex(expression), table);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
      ASSERT_LT(++too_big, 30);
      continue;
    }
    for (int k = 0; k < 40; ++k) {
      const std::string text = random_text(rng);
      const std::optional<bool> expected = oracle.matches(text);
      if (!expected) continue;
      (*expected ? matched : missed) += 1;
      ASSERT_EQ(matches(c, text), *expected) << text;
    }
    for (int k = 0; k < 3; ++k) {
      const std::string text = generate(c, rng, c->min_tokens() + below(rng, 20));
      ASSERT_TRUE(oracle.matches(text).value_or(true)) << text;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(matched, 1500u);
  EXPECT_GT(missed, 2000u);
}

TEST(Regex, RefusesByName) {
  const std::vector<std::pair<const char*, const char*>> cases = {{"(a)\\1", "backreference"},
                                                                  {"(?=a)", "lookahead"},
                                                                  {"(?<!a)b", "lookbehind"},
                                                                  {"a\\b", "word boundary"},
                                                                  {"\\p{L}", "Unicode property"},
                                                                  {"(?i)a", "group that starts with (?"},
                                                                  {"a++", "possessive"},
                                                                  {"a$b", "$ before"},
                                                                  {"(^a)", "^ after"},
                                                                  {"a**", "quantifier after"},
                                                                  {"(a", "without its )"},
                                                                  {"a)", "unmatched )"},
                                                                  {"[a", "without its ]"},
                                                                  {"a{2,1}", "count from 2 to 1"},
                                                                  {"a{99999}", "count above"},
                                                                  {"[b-a]", "range from a larger"},
                                                                  {"\\", "backslash at the end"},
                                                                  {"*a", "nothing before"},
                                                                  {"(?>a)", "atomic"},
                                                                  {"\\k<n>", "backreference"},
                                                                  {"[[:alpha:]]", "POSIX"},
                                                                  {"\\ud800", "surrogate"}};
  for (const auto& [expression, what] : cases) {
    try {
      Grammar::from_regex(expression);
      ADD_FAILURE() << expression;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos)
          << expression << ": " << error.what();
      EXPECT_NE(std::string(error.what()).find("offset"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(Grammar::from_regex(std::string(100, '(') + std::string(100, ')')), Error);
  EXPECT_THROW(Grammar::from_regex("(((a{1000}){1000}){1000})"), Error);
  EXPECT_THROW(Grammar::from_regex("[^\\x00-\\u{10ffff}]"), Error);
}

}  // namespace
}  // namespace hoist::text
