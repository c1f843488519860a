// A model's chat template: messages in, the prompt's text out, as transformers' apply_chat_template renders
// it.
//
// Entry points: ChatTemplate::from_config for tokenizer_config.json, from_text for chat_template.jinja or a
// GGUF file's tokenizer.chat_template; then render. Templates are untrusted; see jinja.h for the caps and the
// errors. A refusal by the template itself (raise_exception: "roles must alternate") is an
// Error(kInvalidArgument) that holds its message.
//
// Threads: immutable; any number of threads may render at once.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja.h"

namespace hoist::text {

// What one prompt is made of. Everything is passed to the template as it stands.
struct ChatInput {
  // A list of dicts: role; content (a string, or a list of parts {type, text, ...}); name, tool_calls,
  // tool_call_id, reasoning_content, ... as the template knows them.
  jinja::Value messages;
  jinja::Value tools = jinja::Value::none();      // a list of JSON schemas of functions, or none
  jinja::Value documents = jinja::Value::none();  // a list of {title, text}, or none
  bool add_generation_prompt = true;
  // Leave the last message open, so that the model goes on with it: the text ends where that message's
  // content ends. Not together with add_generation_prompt.
  bool continue_final_message = false;
  // More variables: enable_thinking, reasoning_effort, date_string, ... They win over special tokens.
  std::vector<std::pair<std::string, jinja::Value>> variables;
  std::string
      template_name;  // which of several; "": "tool_use" when there are tools and it exists, else "default"
};

class ChatTemplate {
 public:
  using SpecialTokens = std::map<std::string, std::string>;  // "bos_token" -> "<s>"

  // tokenizer_config.json's text. `source` leads every message. Error(kNotFound) without a chat_template.
  static ChatTemplate from_config(std::string_view json, const std::string& source);
  // Only its special tokens, for a template that stands in a file of its own.
  static SpecialTokens special_tokens_of(std::string_view config_json, const std::string& source);
  static ChatTemplate from_text(std::string_view text, SpecialTokens special_tokens,
                                const std::string& source);
  // The same for several, by name; at least one.
  static ChatTemplate from_texts(const std::map<std::string, std::string>& texts,
                                 SpecialTokens special_tokens, const std::string& source);

  jinja::RenderResult render(const ChatInput& input, const jinja::RenderOptions& options = {}) const;

  const SpecialTokens& special_tokens() const { return special_tokens_; }
  std::vector<std::string> names() const;  // of the templates: "default", "tool_use", "rag", ...
  // Whether the template that would be used mentions `name`: a template without `tools` ignores tools.
  bool mentions(std::string_view name, const std::string& template_name = "") const;
  // Whether the text of any of the templates holds `part`: "<tool_call>" tells how a model calls tools.
  bool contains(std::string_view part) const;

 private:
  void add(const std::string& name, std::string_view text, const std::string& source);
  const jinja::Template& choose(const std::string& name, bool tools) const;
  std::string source_;
  std::map<std::string, jinja::Template> templates_;
  std::string texts_;  // of all templates, with a NUL between
  SpecialTokens special_tokens_;
};

}  // namespace hoist::text
