// The template interpreter: agreement with Python's jinja2 on the fixtures of scripts/make_jinja_fixtures.py,
// and what no template may do to us.
#include "text/jinja.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "test_util.h"

namespace hoist::text::jinja {
namespace {

std::string render(const std::string& text, const std::string& variables = "{}",
                   const RenderOptions& options = {}) {
  return Template::parse(text, "t").render(Value::from_json(variables, "v"), options).text;
}

// What the error says, or "" without one; `code` gets its code.
std::string failure(const std::string& text, ErrorCode* code = nullptr, const RenderOptions& options = {}) {
  try {
    render(text, "{}", options);
  } catch (const Error& error) {
    if (code) *code = error.code();
    return error.what();
  }
  return "";
}

class JinjaFixtures : public testing::TestWithParam<const char*> {};

TEST_P(JinjaFixtures, AgreeWithTheReference) {
  std::istringstream in(read_file(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/jinja/" + GetParam()));
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  const auto head = nlohmann::ordered_json::parse(line);
  const Value variables = Value::from_json(head.at("variables").dump(), "variables");
  RenderOptions options;
  options.now_unix_seconds = head.at("now");
  int count = 0, wrong = 0;
  for (; std::getline(in, line); ++count) {
    const auto row = nlohmann::json::parse(line);
    const std::string text = row.at("template");
    std::string found, error;
    try {
      found = Template::parse(text, "template").render(variables, options).text;
    } catch (const Error& e) {
      error = e.what();
    }
    const bool same = row.contains("text") ? error.empty() && found == row["text"].get<std::string>()
                                           : !error.empty() && error.find(row["error"].get<std::string>()) !=
                                                                   std::string::npos;
    if (!same && ++wrong <= 10) ADD_FAILURE() << text << "\nexpected " << row << "\nfound " << found << error;
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GE(count, 100);
}

INSTANTIATE_TEST_SUITE_P(Jinja, JinjaFixtures, testing::Values("cases.jsonl", "generated.jsonl"));

TEST(Jinja, ErrorsNameTheLineAndWhatWasExpected) {
  EXPECT_EQ(failure("a\n{% if x %}\n{% endfor %}"),
            "t: line 3: found 'endfor', expected 'elif' or 'else' or 'endif'");
  EXPECT_EQ(failure("\n\n{{ 1 + }}"), "t: line 3: found '}}', expected an expression");
  EXPECT_EQ(failure("{{ x.y }}"), "t: line 1: 'x' is undefined");
  EXPECT_EQ(failure("{{\n raise_exception('no') }}"), "t: line 2: no");
  EXPECT_EQ(failure("{% include 'x' %}"), "t: line 1: the tag 'include' is not supported in chat templates");
  EXPECT_EQ(failure("{{ '%é' % 1 }}"), "t: line 1: format: unknown kind '%\uFFFD'");
  ErrorCode code{};
  failure("{{ 1 + }}", &code);
  EXPECT_EQ(code, ErrorCode::kCorrupt);
  failure("{{ x.y }}", &code);
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
}

// Every one of these would take all memory, all time or all of the stack.
TEST(Jinja, CapsHoldWhateverTheTemplateDoes) {
  const std::string many = std::string(50'000, '(');
  std::string tags, ifs, sum = "{{ 1";
  for (int i = 0; i < 1000; ++i) tags += "{% for x in [1] %}", ifs += "{% if 1 %}", sum += "+1";
  const std::pair<std::string, ErrorCode> bad[] = {
      {"{{ 'a' * 1000000000 }}", ErrorCode::kResourceExhausted},
      {"{{ 'a' * 9223372036854775807 }}", ErrorCode::kResourceExhausted},
      {"{{ [1] * 1000000000 }}", ErrorCode::kResourceExhausted},
      {"{{ range(1000000000000) }}", ErrorCode::kInvalidArgument},
      {"{{ range(-9223372036854775807, 9223372036854775807) }}", ErrorCode::kInvalidArgument},
      {"{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
       ErrorCode::kResourceExhausted},
      {"{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ "
       "ns.s }}",
       ErrorCode::kResourceExhausted},
      {"{% set ns = namespace(s=[1]) %}{% for i in range(999) %}{% set ns.s = [ns.s] %}{% endfor %}",
       ErrorCode::kResourceExhausted},
      {"{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", ErrorCode::kResourceExhausted},
      {"{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}", ErrorCode::kResourceExhausted},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", ErrorCode::kResourceExhausted},
      {"{% macro m() %}{% call m() %}{% endcall %}{{ caller() }}{% endmacro %}{{ m() }}",
       ErrorCode::kResourceExhausted},
      {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", ErrorCode::kResourceExhausted},
      {"{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% "
       "endfor %}"
       "{% endfor %}",
       ErrorCode::kResourceExhausted},
      {"{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", ErrorCode::kResourceExhausted},
      {"{{ ('a' * 9999999).replace('a', 'b' * 9999999) }}", ErrorCode::kResourceExhausted},
      {"{{ ('ab' * 999999)|replace('', 'c' * 99999) }}", ErrorCode::kResourceExhausted},
      {"{{ ('a' * 9999999).find('a' * 4999999 ~ 'b') }}", ErrorCode::kResourceExhausted},
      {"{{ ('a' * 9999999).strip('b' * 999999) }}", ErrorCode::kResourceExhausted},
      {"{{ ('a,' * 9999999).split(',') }}", ErrorCode::kResourceExhausted},
      {"{{ (['a' * 9999999] * 99) | join }}", ErrorCode::kResourceExhausted},
      {"{{ 'a'.center(99999999999) }}", ErrorCode::kResourceExhausted},
      {"{{ '%99999999d' % 1 }}", ErrorCode::kInvalidArgument},
      {"{{ '{:>99999999}'.format(1) }}", ErrorCode::kInvalidArgument},
      {"{{ [1]|batch(99999999999, 'x')|list }}", ErrorCode::kResourceExhausted},
      {"{{ [1]|slice(99999999999)|list }}", ErrorCode::kResourceExhausted},
      {"{{ 'a\n' * 99999 | indent(99999) }}", ErrorCode::kInvalidArgument},
      {"{{ [[[[1]]]]|tojson(indent=99999999999) }}", ErrorCode::kResourceExhausted},
      {"{{ 10 ** 100 }}", ErrorCode::kInvalidArgument},
      {"{{ -9223372036854775807 - 2 }}", ErrorCode::kInvalidArgument},
      {"{{ " + many, ErrorCode::kCorrupt},
      {"{{ " + std::string(50'000, '-') + "1 }}", ErrorCode::kCorrupt},
      {"{{ " + std::string(50'000, '[') + " }}", ErrorCode::kCorrupt},
      {tags, ErrorCode::kCorrupt},
      {ifs, ErrorCode::kCorrupt},
      {sum + " }}", ErrorCode::kCorrupt},
      {std::string(Template::kMaxSourceBytes + 1, 'x'), ErrorCode::kCorrupt},
      {"{{ [" + std::string(500'000, ',') + "] }}", ErrorCode::kCorrupt},
      {"\xff", ErrorCode::kCorrupt},
  };
  for (const auto& [text, expected] : bad) {
    ErrorCode code{};
    EXPECT_NE(failure(text, &code), "") << text.substr(0, 100);
    EXPECT_EQ(code, expected) << text.substr(0, 100);
  }
}

TEST(Jinja, LimitsAreTheCallers) {
  RenderOptions options;
  options.limits.max_output_bytes = 10;
  EXPECT_EQ(failure("0123456789", nullptr, options), "");
  EXPECT_NE(failure("0123456789{{ 1 }}", nullptr, options), "");
  options = {};
  options.limits.max_steps = 50;
  EXPECT_NE(failure("{% for x in range(100) %}{{ x }}{% endfor %}", nullptr, options), "");
}

TEST(Jinja, GenerationBlocksAreListed) {
  const auto result =
      Template::parse("a{% generation %}bc{% endgeneration %}d{% generation %}{% endgeneration %}", "t")
          .render(Value::from_json("{}", "v"));
  EXPECT_EQ(result.text, "abcd");
  const std::vector<std::pair<size_t, size_t>> expected = {{1, 3}, {4, 4}};
  EXPECT_EQ(result.generated, expected);
}

TEST(Jinja, OneTemplateServesManyThreads) {
  const Template parsed = Template::parse(
      "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ m.role ~ k }}{% "
      "endfor %}{{ ns.n }}",
      "t");
  const Value messages = Value::from_json(R"([{"role": "a"}, {"role": "b"}])", "v");
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      const auto k = static_cast<int64_t>(t);
      const Value variables = Value::dict({{"messages", messages}, {"k", Value::integer(k)}});
      const std::string expected = "a" + std::to_string(k) + "b" + std::to_string(k) + "2";
      for (int i = 0; i < 200; ++i) wrong[t] += parsed.render(variables).text != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(Jinja, ValuesFromJson) {
  EXPECT_THROW(Value::from_json("{", "v"), Error);
  EXPECT_THROW(Value::from_json(std::string(1000, '[') + std::string(1000, ']'), "v"), Error);
  const Value v = Value::from_json(R"({"b": 1, "a": [1.5, null], "b": 2})", "v");
  ASSERT_EQ(v.entries().size(), 2u);
  EXPECT_EQ(v.find("b")->as_int(), 2);
  EXPECT_EQ(v.find("c"), nullptr);
  EXPECT_EQ(v.with("c", Value::none()).entries().size(), 3u);
  Value deep = Value::none();
  for (int i = 0; i < Value::kMaxDepth; ++i) deep = Value::list({deep});
  EXPECT_THROW(Value::list({deep}), Error);
}

}  // namespace
}  // namespace hoist::text::jinja
