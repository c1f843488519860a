#include "text/chat_template.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace hoist::text {
namespace {

using jinja::Value;

constexpr const char* kConfig = R"({
  "bos_token": {"content": "<s>", "special": true}, "eos_token": "</s>", "pad_token": null, "add_bos_token": true,
  "chat_template": "{{ bos_token }}{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('unknown role ' ~ m.role) }}{% endif %}[{{ m.role }}]{{ m.content | trim }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}{{ mood }}{{ pad_token }}{% if tools %}T{% endif %}"
})";

ChatInput input_of(const char* messages) {
  ChatInput input;
  input.messages = Value::from_json(messages, "messages");
  return input;
}

TEST(ChatTemplate, RendersWithSpecialTokensAndVariables) {
  const auto chat = ChatTemplate::from_config(kConfig, "tokenizer_config.json");
  ChatInput input = input_of(R"([{"role": "user", "content": " hi "}])");
  EXPECT_EQ(chat.render(input).text, "<s>[user]hi</s>[assistant]");
  input.add_generation_prompt = false;
  input.variables.emplace_back("mood", Value::string("!"));
  input.tools = Value::from_json("[{}]", "tools");
  EXPECT_EQ(chat.render(input).text, "<s>[user]hi</s>!T");
  EXPECT_TRUE(chat.mentions("tools"));
  EXPECT_FALSE(chat.mentions("documents"));
  EXPECT_EQ(chat.special_tokens().size(), 2u);
}

TEST(ChatTemplate, RefusesInTheTemplatesOwnWords) {
  const auto chat = ChatTemplate::from_config(kConfig, "c");
  try {
    chat.render(input_of(R"([{"role": "judge", "content": ""}])"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_STREQ(error.what(), "c: chat_template: line 1: unknown role judge");
  }
}

TEST(ChatTemplate, LeavesTheLastMessageOpen) {
  const auto chat = ChatTemplate::from_config(kConfig, "c");
  ChatInput input =
      input_of(R"([{"role": "user", "content": "Say"}, {"role": "assistant", "content": "Sure: "}])");
  input.add_generation_prompt = false;
  input.continue_final_message = true;
  EXPECT_EQ(chat.render(input).text, "<s>[user]Say</s>[assistant]Sure:");
  input.add_generation_prompt = true;
  EXPECT_THROW(chat.render(input), Error);
}

TEST(ChatTemplate, ChoosesAmongNamedTemplates) {
  const auto chat = ChatTemplate::from_config(
      R"({"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}, {"name": "rag", "template": "R"}]})",
      "c");
  ChatInput input = input_of("[]");
  EXPECT_EQ(chat.render(input).text, "D");
  input.tools = Value::from_json("[{}]", "tools");
  EXPECT_EQ(chat.render(input).text, "T");
  input.template_name = "rag";
  EXPECT_EQ(chat.render(input).text, "R");
  input.template_name = "none";
  EXPECT_THROW(chat.render(input), Error);
}

TEST(ChatTemplate, RefusesBrokenConfigs) {
  for (const char* bad : {"", "[]", "{}", R"({"chat_template": null})", R"({"chat_template": 3})",
                          R"({"chat_template": []})", R"({"chat_template": [{"name": "x"}]})",
                          R"({"chat_template": "{{"})", R"({"chat_template": {"a": 1}})"}) {
    EXPECT_THROW(ChatTemplate::from_config(bad, "c"), Error) << bad;
  }
}

TEST(ChatTemplate, TakesPlainText) {
  const auto chat =
      ChatTemplate::from_text("{{ bos_token }}{{ messages|length }}", {{"bos_token", "<b>"}}, "gguf");
  EXPECT_EQ(chat.render(input_of("[1, 2]")).text, "<b>2");
}

}  // namespace
}  // namespace hoist::text
