// Answers within a format, from a model that would say anything: whatever the schema and the cap, what comes
// out is whole and valid.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "grammar/support.h"
#include "serve/tiny_model.h"

namespace hoist::serve {
namespace {

using nlohmann::json;
using Kind = http::AnswerFormat::Kind;

http::CompletionRequest within(Kind kind, std::string text, int64_t max_tokens, uint64_t seed) {
  http::CompletionRequest r = text_request("say", max_tokens);
  r.format = {kind, std::move(text), {}, "format"};
  r.seed = seed;
  return r;
}

TEST(Guided, EveryAnswerSatisfiesItsSchema) {
  Served served;
  text::Rng random(17);
  int checked = 0, at_cap = 0;
  for (int round = 0; round < 150; ++round) {
    const json schema = text::random_schema(random);
    const auto cap = static_cast<int64_t>(20 + random() % 150);
    http::CompletionRequest r = within(Kind::kJsonSchema, schema.dump(), cap, random());
    r.n = 2;
    r.temperature = round % 4 == 0 ? 0 : 1 + round % 3;
    std::vector<Said> said;
    try {
      said = ask(served.async, std::move(r));
    } catch (
        const http::FieldError& e) {  // the cap is too small for the shortest answer, or nothing satisfies it
      EXPECT_TRUE(e.field() == "max_tokens" || e.field() == "format") << e.what();
      continue;
    }
    for (const Said& s : said) {
      ASSERT_TRUE(json::accept(s.text)) << schema << "\n" << s.text;
      EXPECT_TRUE(text::valid(schema, json::parse(s.text), schema)) << schema << "\n" << s.text;
      EXPECT_LE(s.usage.completion_tokens, cap);
      EXPECT_NE(s.reason, http::FinishReason::kError) << s.error;
      at_cap += s.usage.completion_tokens == cap;
      ++checked;
    }
  }
  EXPECT_GE(checked, 200);
  EXPECT_GT(at_cap, 0);
}

TEST(Guided, EveryKindOfFormat) {
  Served served;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Said s = ask_one(served.async, within(Kind::kJsonObject, "", 60, seed));
    EXPECT_TRUE(json::parse(s.text).is_object()) << s.text;
    s = ask_one(served.async, within(Kind::kRegex, "[ab]{3}-[0-9]+", 12, seed));
    EXPECT_TRUE(s.text.size() > 4 && s.text.find_first_not_of("ab") == 3) << s.text;
    s = ask_one(served.async, within(Kind::kGrammar, "root ::= \"<\" [x-z]* \">\"", 12, seed));
    EXPECT_TRUE(s.text.starts_with("<") && s.text.ends_with(">")) << s.text;
    EXPECT_EQ(s.reason, http::FinishReason::kStop) << "nothing could follow";
    http::CompletionRequest choice = within(Kind::kChoice, "", 12, seed);
    choice.format.choices = {"red", "green"};
    s = ask_one(served.async, std::move(choice));
    EXPECT_TRUE(s.text == "red" || s.text == "green") << s.text;
  }
  EXPECT_THROW(ask_one(served.async, within(Kind::kRegex, "[ab]{30}", 5, 1)), http::FieldError);
}

// A model that thinks first does so freely, and the answer is whole even when it never meant to stop.
TEST(Guided, FormatsBeginBehindReasoning) {
  Served served({kPlainTemplate, false, 512});
  for (uint64_t seed = 0; seed < 20; ++seed) {
    http::ChatPrompt chat;
    chat.variables = R"({"think":true})";
    http::CompletionRequest r = chat_request("go", 40, std::move(chat));
    r.seed = seed;
    r.format = {Kind::kJsonSchema,
                R"({"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"]})",
                {},
                "response_format"};
    const Said s = ask_one(served.async, std::move(r));
    EXPECT_FALSE(s.reasoning.empty());
    ASSERT_TRUE(json::accept(s.text)) << s.text << "\n" << s.reasoning;
    EXPECT_TRUE(json::parse(s.text)["a"].is_boolean());
  }
}

TEST(Guided, ForcedCallsAreCalls) {
  for (const char* style :
       {"<tool_call>", "[TOOL_CALLS]", "<tool_call><function=x><parameter=y>",
        "<｜tool▁calls▁begin｜>```json", "<｜tool▁calls▁begin｜>", "[func_name1(params_name1=", "other"}) {
    std::string chat_template = kPlainTemplate;
    chat_template.replace(chat_template.find("<tool_call>"), 11, style);
    Served served({chat_template, false, 1024});
    for (uint64_t seed = 0; seed < 12; ++seed) {
      http::ChatPrompt chat;
      chat.tools_json = R"([{"type":"function"}])";
      chat.tools = {{"add", R"({"type":"object","properties":{"x":{"type":"integer"}},"required":["x"],
                                "additionalProperties":false})"},
                    {"stop", R"({"type":"object","properties":{}})"}};
      chat.choice = seed % 2 ? http::ToolChoice::kRequired : http::ToolChoice::kNamed;
      chat.tool_name = "add";
      chat.parallel_tool_calls = seed % 4 == 1;
      const bool several = chat.choice == http::ToolChoice::kRequired && chat.parallel_tool_calls;
      http::CompletionRequest r = chat_request("go", 250, chat);
      r.seed = seed;
      const Said s = ask_one(served.async, std::move(r));
      EXPECT_EQ(s.text, "");
      ASSERT_FALSE(s.calls.empty()) << s.error;
      if (!several) EXPECT_EQ(s.calls.size(), 1u);
      if (s.reason != http::FinishReason::kLength) EXPECT_EQ(s.reason, http::FinishReason::kToolCalls);
      for (const http::ToolCallDelta& call : s.calls) {
        ASSERT_TRUE(json::accept(call.arguments)) << call.arguments;
        if (chat.choice == http::ToolChoice::kNamed) EXPECT_EQ(call.name, "add");
        if (call.name == "add")
          EXPECT_TRUE(json::parse(call.arguments)["x"].is_number_integer());
        else
          EXPECT_EQ(call.name, "stop");
      }
    }
  }
}

// Forms have every kind of parameter, and what a schema asks of each.
TEST(Guided, ForcedFormsSatisfyTheirSchemas) {
  std::string chat_template = kPlainTemplate;
  chat_template.replace(chat_template.find("<tool_call>"), 11, "<tool_call><function=x><parameter=y>");
  Served served({chat_template, false, 1024});
  const char* const kSchema = R"({"type":"object","$defs":{"point":{"type":"object","properties":{"x":
      {"type":"integer"}},"required":["x"],"additionalProperties":false}},"properties":{"free":{"type":"string"},
      "color":{"enum":["red","dark blue"]},"code":{"type":"string","pattern":"^[a-c]{2,4}$"},
      "short":{"type":"string","minLength":2,"maxLength":5},"at":{"$ref":"#/$defs/point"},
      "maybe":{"anyOf":[{"type":"string"},{"type":"null"}]},"yes":{"type":"boolean"},
      "list":{"type":"array","items":{"type":"boolean"},"maxItems":3}},
      "required":["free","color","code","short","at","yes"]})";
  int whole = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    http::ChatPrompt chat;
    chat.tools_json = R"([{"type":"function"}])";
    chat.tools = {{"paint", kSchema}};
    chat.choice = http::ToolChoice::kRequired;
    chat.parallel_tool_calls = false;
    http::CompletionRequest r = chat_request("go", 320, chat);
    r.seed = seed;
    r.temperature = seed % 2 ? 1 : 2;
    const Said s = ask_one(served.async, std::move(r));
    ASSERT_EQ(s.calls.size(), 1u) << s.error << s.text;
    EXPECT_EQ(s.text, "");
    const json arguments = json::parse(s.calls[0].arguments, nullptr, false);
    ASSERT_TRUE(arguments.is_object()) << s.calls[0].arguments;
    ++whole;
    EXPECT_TRUE(arguments.at("free").is_string());
    EXPECT_TRUE(arguments.at("color") == "red" || arguments.at("color") == "dark blue");
    const std::string code = arguments.at("code");
    EXPECT_TRUE(code.size() >= 2 && code.size() <= 4 && code.find_first_not_of("abc") == std::string::npos);
    EXPECT_TRUE(arguments.at("at").at("x").is_number_integer());
    EXPECT_TRUE(arguments.at("yes").is_boolean());
    if (arguments.contains("maybe")) EXPECT_TRUE(arguments["maybe"].is_string());
    if (arguments.contains("list")) EXPECT_LE(arguments["list"].size(), 3u);
  }
  EXPECT_EQ(whole, 40);
  http::ChatPrompt odd;
  odd.tools_json = "[]";
  odd.tools = {{"f", R"({"properties":{"a>b":{}}})"}};
  odd.choice = http::ToolChoice::kRequired;
  EXPECT_THROW(ask_one(served.async, chat_request("go", 320, odd)), http::FieldError);
}

}  // namespace
}  // namespace hoist::serve
