// Where chat templates are found, and that a broken one leaves the model usable.
#include "decode/chat_source.h"

#include <gtest/gtest.h>

#include "io/files.h"
#include "serve/tiny_model.h"

namespace hoist::serve {
namespace {

std::string rendered(const decode::ChatSource& source) {
  if (!source.chat) return "none: " + source.problem;
  text::ChatInput input;
  input.messages = text::jinja::Value::list({});
  return source.chat->render(input).text;
}

TEST(ChatSource, FilesInTheirOrder) {
  decode::Model m = tiny_model();
  const auto write = [&](const char* name, const char* text) {
    io::atomic_write(io::join_path(m.folder, name), text);
  };
  EXPECT_FALSE(decode::load_chat_template(m).chat);
  EXPECT_NE(decode::load_chat_template(m).problem, "");
  write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  EXPECT_FALSE(decode::load_chat_template(m).chat);
  write("tokenizer_config.json", R"({"bos_token": "<s>", "chat_template": "config {{ bos_token }}"})");
  EXPECT_EQ(rendered(decode::load_chat_template(m)), "config <s>");
  write("chat_template.jinja", "own {{ bos_token }}");
  EXPECT_EQ(rendered(decode::load_chat_template(m)), "own <s>");
  io::make_dirs(io::join_path(m.folder, "additional_chat_templates"));
  write("additional_chat_templates/tool_use.jinja", "tools");
  EXPECT_EQ(decode::load_chat_template(m).chat->names(), (std::vector<std::string>{"default", "tool_use"}));
  EXPECT_TRUE(decode::load_chat_template(m).chat->contains("tools"));
  write("chat_template.jinja", "{% if %}");
  EXPECT_FALSE(decode::load_chat_template(m).chat);
  EXPECT_NE(decode::load_chat_template(m).problem.find("chat_template.jinja"), std::string::npos);
}

}  // namespace
}  // namespace hoist::serve
