// The mask against brute force, taking tokens back, the length cap, forced bytes, vocabularies that lack
// bytes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "grammar/support.h"

namespace hoist::text {
namespace {

using nlohmann::json;

std::vector<std::string> grammars() {
  return {
      R"({"type":"object"})",
      R"({"type":"object","properties":{"name":{"type":"string","maxLength":6},"id":{"type":"integer","minimum":3,"maximum":120},"kids":{"type":"array","items":{"$ref":"#"},"maxItems":3}},"required":["name","kids"]})",
      R"({"type":"array","items":{"anyOf":[{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"null"}},"required":["a"]},{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"type":"string","format":"date"}]},"minItems":2})",
      R"({"type":"object","properties":{"ab":{"type":"number"}},"additionalProperties":{"type":"array"}})",
  };
}

// What the mask must be: every token tried on a copy.
std::vector<int32_t> brute_force(const Matcher& matcher, const TokenTable& table, uint64_t left) {
  std::vector<int32_t> out;
  const uint64_t most =
      left == Matcher::kNoCap ? left : std::max<uint64_t>(left, std::max(matcher.min_tokens(), 1u)) - 1;
  for (int32_t id = 0; id < static_cast<int32_t>(table.size()); ++id) {
    Matcher copy(matcher);
    if (copy.accept(id) && (table.is_end(id) || copy.min_tokens() <= most)) out.push_back(id);
  }
  return out;
}

void check_mask(Matcher& matcher, const TokenTable& table, uint64_t left, const std::string& text) {
  ASSERT_EQ(allowed(matcher, left), brute_force(matcher, table, left)) << text << " left " << left;
}

TEST(Mask, EqualsBruteForce) {
  Rng rng(31);
  for (int round = 0; round < 24; ++round) {
    const auto table = make_table(rng, 150);
    ConstraintOptions options;
    options.max_depth = static_cast<uint16_t>(std::vector<size_t>{4, 7, 128}[below(rng, 3)]);
    options.cache_bytes = chance(rng, 0.5) ? 20'000 : 1 << 20;  // small: things are thrown out all the time
    const auto c =
        constrain(Grammar::from_json_schema(grammars()[round % 4], {static_cast<uint32_t>(below(rng, 4))}),
                  table, options);
    Matcher matcher(c);
    std::string text;
    uint64_t left = c->min_tokens() + below(rng, 40);
    for (; left > 0 && !matcher.finished(); --left) {
      check_mask(matcher, *table, Matcher::kNoCap, text);
      check_mask(matcher, *table, left, text);
      check_mask(matcher, *table, matcher.min_tokens(), text);
      check_mask(matcher, *table, matcher.min_tokens() + 1 + below(rng, 4), text);
      if (HasFatalFailure()) return;
      const auto tokens = allowed(matcher, left);
      ASSERT_FALSE(tokens.empty()) << text;
      const int32_t token = tokens[below(rng, tokens.size())];
      ASSERT_TRUE(matcher.accept(token));
      text += table->bytes(token);
    }
    EXPECT_TRUE(matcher.may_stop());
    EXPECT_LE(c->cached_bytes(), options.cache_bytes);
  }
}

TEST(Mask, EqualsBruteForceForEbnf) {
  Rng rng(32);
  const auto table = make_table(rng, 150);
  for (const char* text : {"root ::= (a | b)* \"x\"\na ::= \"a\" a? \"b\"\nb ::= \"ab\" | \"a\" b \"c\"",
                           "root ::= s\ns ::= \"(\" s \")\" s | \"a\"?", "root ::= [^\"]{0,5} \"\\\"\" .*"}) {
    const auto c = constrain(Grammar::from_ebnf(text), table);
    for (int k = 0; k < 4; ++k) {
      Matcher matcher(c);
      std::string written;
      for (uint64_t left = c->min_tokens() + below(rng, 15); left > 0 && !matcher.finished(); --left) {
        check_mask(matcher, *table, Matcher::kNoCap, written);
        check_mask(matcher, *table, left, written);
        if (HasFatalFailure()) return;
        const auto tokens = allowed(matcher, left);
        ASSERT_FALSE(tokens.empty());
        ASSERT_TRUE(matcher.accept(tokens[below(rng, tokens.size())]));
      }
    }
  }
}

// Bounded repetitions are long runs of states that are alike until the bound comes near; several generations
// over one constraint make every state meet the kept masks of others.
TEST(Mask, EqualsBruteForceAlongBoundedRepetitions) {
  Rng rng(33);
  const std::vector<Grammar> bounded = {
      Grammar::from_json_schema(R"({"type":"string","minLength":30,"maxLength":60})"),
      Grammar::from_json_schema(
          R"({"type":"array","items":{"type":"string","maxLength":40},"minItems":8,"maxItems":12})", {1}),
      Grammar::from_json_schema(
          R"({"type":"object","properties":{"a":{"type":"string","pattern":"^([a-z]{2}-){1,30}$"}},"required":["a"]})"),
      Grammar::from_ebnf(
          "root ::= (\"a\" | item){10,50} \"x\"\nitem ::= \"(\" item? \")\" | \"b\"{0,3} \"c\"")};
  for (const Grammar& grammar : bounded) {
    const auto table = make_table(rng, 120);
    const auto c = constrain(grammar, table, {128, 1 << 20});
    for (int k = 0; k < 3; ++k) {
      Matcher matcher(c);
      std::string text;
      for (uint64_t left = c->min_tokens() + below(rng, 40); left > 0 && !matcher.finished(); --left) {
        check_mask(matcher, *table, Matcher::kNoCap, text);
        check_mask(matcher, *table, left, text);
        check_mask(matcher, *table, matcher.min_tokens() + below(rng, 3), text);
        if (HasFatalFailure()) return;
        const auto tokens = allowed(matcher, left);
        ASSERT_FALSE(tokens.empty()) << text;
        const int32_t token = tokens[below(rng, tokens.size())];
        ASSERT_TRUE(matcher.accept(token));
        text += table->bytes(token);
      }
      EXPECT_TRUE(matcher.may_stop());
    }
  }
}

TEST(Rollback, RestoresEverything) {
  Rng rng(33);
  const auto table = make_table(rng, 300);
  for (int round = 0; round < 20; ++round) {
    const auto c = constrain(Grammar::from_json_schema(grammars()[round % 4]), table);
    Matcher matcher(c);
    std::vector<std::vector<int32_t>> masks = {allowed(matcher)};
    std::vector<uint32_t> least = {matcher.min_tokens()};
    for (int step = 0; step < 150; ++step) {
      if (!masks.back().empty() && chance(rng, 0.7)) {
        ASSERT_TRUE(matcher.accept(masks.back()[below(rng, masks.back().size())]));
        masks.push_back(allowed(matcher));
        least.push_back(matcher.min_tokens());
      } else {
        const size_t n = below(rng, std::min<size_t>(matcher.accepted() + 1, 9));
        matcher.rollback(n);
        masks.resize(masks.size() - n);
        least.resize(least.size() - n);
        ASSERT_EQ(allowed(matcher), masks.back());
        ASSERT_EQ(matcher.min_tokens(), least.back());
      }
      EXPECT_FALSE(matcher.accept(-1));
      EXPECT_FALSE(matcher.accept(static_cast<int32_t>(table->size())));
      EXPECT_EQ(matcher.accepted() + 1, masks.size());
    }
  }
}

TEST(Cap, NamesTheLeastNumberOfTokens) {
  Rng rng(34);
  const auto table = make_table(rng, 500);
  const auto c =
      constrain(Grammar::from_json_schema(
                    R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})", {0}),
                table_of({"{", "}", "\"", "a", ":", "1", "{\"a", "\":"}));
  EXPECT_EQ(c->min_tokens(), 4u);  // {"a ": 1 }
  EXPECT_NO_THROW(c->check_budget(4));
  try {
    c->check_budget(3);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("found 3, expected at least 4"), std::string::npos)
        << error.what();
  }
  // With less, the shortest way.
  Matcher matcher(c);
  EXPECT_EQ(allowed(matcher, 2), std::vector<int32_t>{6});
}

TEST(Cap, RandomVocabulariesCloseUnderRandomCaps) {
  Rng rng(35);
  size_t built = 0, refused = 0;
  while (built < 150) {
    // Some bytes are missing, others only come inside longer tokens.
    std::vector<std::string> tokens;
    const double keep = std::vector<double>{1, 0.95, 0.7}[below(rng, 3)];
    for (int b = 0; b < 256; ++b) {
      if (chance(rng, keep)) tokens.push_back(std::string(1, static_cast<char>(b)));
    }
    for (const char* t : {"{\"", "\":", "\",\"", "\"}", "}", "]", "[", "{", "true", "null", "\"a\"", "\"",
                          "],", "1,", ":", ","}) {
      if (chance(rng, 0.8)) tokens.push_back(t);
    }
    for (int i = 0; i < 40; ++i) {
      std::string t;
      for (size_t n = 1 + below(rng, 4); n > 0; --n) t += "{}[]\":,abn1ul0e- "[below(rng, 17)];
      tokens.push_back(t);
    }
    const json schema = random_schema(rng);
    std::shared_ptr<const Constraint> c;
    try {
      c = constrain(Grammar::from_json_schema(schema.dump(), {static_cast<uint32_t>(below(rng, 3))}),
                    table_of(tokens));
    } catch (const Error&) {
      ++refused;
      ASSERT_LT(refused, 1000u);
      continue;
    }
    ++built;
    for (int k = 0; k < 6; ++k) {
      const std::string text =
          generate(c, rng, std::max<uint64_t>(1, c->min_tokens() + (k ? below(rng, 60) : 0)));
      ASSERT_TRUE(json::accept(text)) << text << "\n" << schema.dump();
      ASSERT_TRUE(valid(schema, json::parse(text), schema)) << text << "\n" << schema.dump();
    }
    if (HasFailure()) FAIL() << schema.dump();
  }
}

TEST(Cap, RefusesAVocabularyThatCannotWrite) {
  EXPECT_THROW(constrain(Grammar::from_regex("abc"), table_of({"a", "b"})), Error);
  EXPECT_THROW(constrain(Grammar::from_regex("a"), table_of({})), Error);
  EXPECT_EQ(constrain(Grammar::from_regex("abc"), table_of({"ab", "c", "bc"}))->min_tokens(), 2u);
  // No token leads to where nothing can follow.
  Matcher matcher(constrain(Grammar::from_regex("ab|cd"), table_of({"a", "b", "c"})));
  EXPECT_EQ(allowed(matcher), std::vector<int32_t>{0});
}

TEST(Forced, BytesAreTheOnlyOnes) {
  Rng rng(36);
  const auto table = make_table(rng, 200);
  const auto c = constrain(
      Grammar::from_json_schema(
          R"({"type":"object","properties":{"name":{"const":"xyz"},"n":{"enum":[10,11]}},"required":["name","n"]})",
          {0}),
      table);
  Matcher matcher(c);
  EXPECT_EQ(matcher.forced_bytes(), R"({"name":"xyz","n":1)");
  EXPECT_EQ(matcher.forced_bytes(4), R"({"na)");
  ASSERT_TRUE(matcher.accept_bytes(R"({"name":"xyz","n":1)"));
  EXPECT_EQ(matcher.forced_bytes(), "");
  ASSERT_TRUE(matcher.accept_bytes("1"));
  EXPECT_EQ(matcher.forced_bytes(), "}");
  EXPECT_FALSE(matcher.may_stop());
  ASSERT_TRUE(matcher.accept_bytes("}"));
  EXPECT_TRUE(matcher.must_stop());
  EXPECT_EQ(allowed(matcher), table->end_tokens());
  ASSERT_TRUE(matcher.accept(table->end_tokens()[0]));
  EXPECT_TRUE(matcher.finished());
  EXPECT_TRUE(allowed(matcher).empty());
  EXPECT_FALSE(matcher.accept(table->end_tokens()[0]));
  matcher.rollback(4);
  EXPECT_FALSE(matcher.finished());
  EXPECT_EQ(matcher.forced_bytes(4), R"({"na)");
}

TEST(Constraint, IsSharedByThreads) {
  Rng rng(37);
  const auto c = constrain(Grammar::from_json_schema(grammars()[1]), make_table(rng, 1000), {128, 60'000});
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < texts.size(); ++t) {
    threads.emplace_back([&, t] {
      Rng own(99);
      for (int i = 0; i < 20; ++i) texts[t] += generate(c, own, c->min_tokens() + 40);
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::string& t : texts) EXPECT_EQ(t, texts[0]);
}

TEST(TokenTable, RefusesEndTokensOutOfRange) {
  EXPECT_THROW(TokenTable({"a"}, {1}), Error);
  EXPECT_THROW(TokenTable({"a"}, {-1}), Error);
}

}  // namespace
}  // namespace hoist::text
