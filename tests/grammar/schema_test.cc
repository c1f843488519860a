// JSON schemas: whatever is generated under a mask and a cap satisfies its schema, by a validator of our own
// and by Python's jsonschema.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "grammar/support.h"

namespace hoist::text {
namespace {

using nlohmann::json;

struct Sample {
  json schema;
  std::string text;
};

// Vocabularies of several kinds, used in turn.
const std::vector<std::shared_ptr<const TokenTable>>& tables() {
  static const auto all = [] {
    Rng rng(5);
    std::vector<std::shared_ptr<const TokenTable>> t;
    for (const size_t pieces : {0, 200, 2000, 32000}) t.push_back(make_table(rng, pieces));
    return t;
  }();
  return all;
}

std::vector<Sample> samples(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<Sample> out;
  size_t refused = 0;
  while (out.size() < count && !testing::Test::HasFailure()) {
    const json schema = random_schema(rng);
    JsonGrammarOptions options;
    options.max_whitespace = static_cast<uint32_t>(std::vector<size_t>{0, 1, 16}[below(rng, 3)]);
    std::shared_ptr<const Constraint> constraint;
    try {
      constraint = constrain(Grammar::from_json_schema(schema.dump(), options), tables()[below(rng, 4)]);
    } catch (const Error& error) {
      // Some conjunctions cannot hold, and some caps trip; most schemas must pass.
      ++refused;
      EXPECT_LT(refused, 20 + out.size()) << error.what() << "\n" << schema.dump();
      continue;
    }
    for (int i = 0; i < 5; ++i) {
      const uint64_t cap = constraint->min_tokens() + (chance(rng, 0.3) ? 0 : below(rng, 120));
      const std::string text = generate(constraint, rng, std::max<uint64_t>(cap, 1));
      if (testing::Test::HasFailure()) {
        ADD_FAILURE() << schema.dump();
        break;
      }
      out.push_back({schema, text});
    }
  }
  return out;
}

TEST(Schema, GenerationsAreValidByOurValidator) {
  for (const Sample& s : samples(1500, 1)) {
    json value;
    try {
      value = json::parse(s.text);
    } catch (const json::exception& e) {
      FAIL() << e.what() << "\n" << s.text << "\n" << s.schema.dump();
    }
    EXPECT_TRUE(valid(s.schema, value, s.schema)) << s.text << "\n" << s.schema.dump();
    if (HasFailure()) break;
  }
}

TEST(Schema, GenerationsAreValidByJsonschema) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) /
                                     ("grammar_samples_" + std::to_string(::getpid()) + ".jsonl");
  {
    std::ofstream out(path);
    for (const Sample& s : samples(1000, 2))
      out << json{{"schema", s.schema}, {"text", s.text}}.dump() << "\n";
  }
  const std::string command = std::string("python3 \"") + HOIST_SOURCE_DIR +
                              "/tests/grammar/validate_samples.py\" \"" + path.string() + "\"";
  const int status = std::system(command.c_str());
  std::filesystem::remove(path);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127) GTEST_SKIP() << "no Python with jsonschema";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

std::shared_ptr<const Constraint> schema(const std::string& text, uint32_t blanks = 0) {
  return constrain(Grammar::from_json_schema(text, {blanks}), tables()[1]);
}

void expect(const std::string& text, const std::vector<std::string>& yes, const std::vector<std::string>& no,
            uint32_t blanks = 0) {
  const auto c = schema(text, blanks);
  for (const std::string& t : yes) EXPECT_TRUE(matches(c, t)) << text << "\n" << t;
  for (const std::string& t : no) EXPECT_FALSE(matches(c, t)) << text << "\n" << t;
}

TEST(Schema, KnownTexts) {
  expect(R"({"type":"object"})", {"{}", R"({"a":1})", R"({"a":{"b":[1,"x",null,{}]}})"},
         {"[]", "{", "1", "{} "});
  expect(R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["b"]})",
         {R"({"b":""})", R"({"a":-3,"b":"\u00e9\n"})"},
         {"{}", R"({"a":1})", R"({"b":"","a":1})", R"({"b":"","c":1})"});
  expect(R"({"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"null"}})",
         {"{}", R"({"a":1,"b":null})", R"({"aa":null,"":null})"},
         {R"({"b":1})", R"({"a":null})", R"({"b":null,"a":1})"});
  expect(R"({"properties":{"a":true},"minProperties":1,"maxProperties":2,"additionalProperties":true})",
         {R"({"a":1})", R"({"x":1})", R"({"a":1,"x":2})"}, {"{}", R"({"a":1,"x":2,"y":3})"});
  expect(R"({"type":"object","patternProperties":{"^x-":{"type":"integer"}},"additionalProperties":false})",
         {"{}", R"({"x-a":1,"x-":2})"}, {R"({"a":1})", R"({"x-a":"1"})"});
  expect(R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})", {"[1]", "[1,2,3]"},
         {"[]", "[1,2,3,4]", "[1,]", "[\"a\"]"});
  expect(R"({"type":"array","prefixItems":[{"const":1},{"const":2}],"items":false})", {"[]", "[1]", "[1,2]"},
         {"[2]", "[1,2,3]"});
  expect(R"({"type":"integer","minimum":-12,"maximum":105})",
         {"-12", "0", "9", "10", "99", "100", "105", "-1"}, {"-13", "106", "00", "-0", "1000", "1.0"});
  expect(R"({"type":"integer","exclusiveMinimum":0.5,"exclusiveMaximum":3})", {"1", "2"}, {"0", "3"});
  expect(R"({"type":"number","minimum":0.25,"maximum":1})", {"0.25", "0.250", "0.9", "1", "1.0", "1.000"},
         {"0.2", "0.249", "1.01", "0", "-0.5"});
  expect(R"({"type":"number","exclusiveMinimum":-1.5,"exclusiveMaximum":2})",
         {"-1.4999", "-1", "0", "1.99", "0.0"}, {"-1.5", "-1.50", "2", "2.0", "-2"});
  expect(R"({"type":"string","minLength":2,"maxLength":3})", {R"("ab")", R"("日本語")", R"("\n\"x")"},
         {R"("a")", R"("abcd")"});
  expect(R"({"type":"string","pattern":"a.c"})", {R"("abc")", R"("xxabcxx")", R"("a\"c")"},
         {R"("ac")", R"("ab")"});
  expect(R"({"type":"string","pattern":"^a+$","maxLength":3})", {R"("a")", R"("aaa")"},
         {R"("")", R"("aaaa")"});
  expect(R"({"allOf":[{"properties":{"a":{"type":"integer"}}},{"properties":{"a":{"maximum":5},"b":{}}}]})",
         {R"({"a":5})", R"({"b":[]})"}, {R"({"a":6})", R"({"a":"x"})"});
  expect(R"({"type":"string","enum":["x","y",3]})", {"\"x\"", "\"y\""}, {"3", "\"z\""});
  expect(R"({"type":"object","properties":{"p":{"type":"string","nullable":true}}})",
         {R"({"p":null})", R"({"p":"x"})"}, {R"({"p":1})"});
  expect(R"({"$ref":"#/$defs/t","$defs":{"t":{"type":"array","items":{"$ref":"#/$defs/t"}}}})",
         {"[]", "[[],[[]]]"}, {"[1]"});
  expect(R"({"type":"object","properties":{"a":{"type":"integer"}}})", {"{\"a\": 1}", "{ \"a\":\n1 }", "{}"},
         {"{\"a\":   1}", "{\"a\" :1}"}, 2);
}

TEST(Schema, NestingStopsAtTheDepth) {
  ConstraintOptions options;
  options.max_depth = 5;
  const auto c = constrain(Grammar::from_json_schema(R"({"type":"array"})", {0}), tables()[1], options);
  Rng rng(3);
  for (int i = 0; i < 30; ++i) {
    const std::string text = generate(c, rng, 1 + below(rng, 200));
    int depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t k = 0; k < text.size(); ++k) {
      if (text[k] == '\\') {
        ++k;
      } else if (text[k] == '"') {
        quoted = !quoted;
      } else if (!quoted) {
        depth += (text[k] == '[' || text[k] == '{') - (text[k] == ']' || text[k] == '}');
        deepest = std::max(deepest, depth);
      }
    }
    EXPECT_LE(deepest, 6) << text;
  }
}

}  // namespace
}  // namespace hoist::text
