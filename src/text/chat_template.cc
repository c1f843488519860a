#include "text/chat_template.h"

#include <fmt/format.h>

#include "base/error.h"

namespace hoist::text {

using jinja::Value;

namespace {

// A string, or an added token's {"content": "..."}.
const std::string* token_text(const Value& value) {
  if (value.is_string()) return &value.as_string();
  if (!value.is_dict()) return nullptr;
  const Value* content = value.find("content");
  return content && content->is_string() ? &content->as_string() : nullptr;
}

ChatTemplate::SpecialTokens tokens_of(const Value& config) {
  ChatTemplate::SpecialTokens tokens;
  for (const auto& [key, value] : config.entries()) {
    const std::string& name = key.as_string();
    const std::string* text = name.ends_with("_token") ? token_text(value) : nullptr;
    if (text) tokens[name] = *text;
  }
  return tokens;
}

Value config_of(std::string_view json, const std::string& source) {
  Value config = Value::from_json(json, source);
  if (!config.is_dict()) throw_corrupt(source + ": expected an object");
  return config;
}

// Where the content of the last message ends in `text`.
size_t end_of_final_message(const std::string& text, const Value& messages, const std::string& source) {
  const auto refuse = [&](std::string_view why) {
    throw_invalid(fmt::format("{}: the last message cannot be continued: {}", source, why));
  };
  if (messages.items().empty()) refuse("there is none");
  const Value& last = messages.items().back();
  const Value* content = last.is_dict() ? last.find("content") : nullptr;
  if (content && content->is_sequence()) {  // parts: the last one of text
    const Value* found = nullptr;
    for (const Value& part : content->items())
      if (const Value* piece = part.is_dict() ? part.find("text") : nullptr) found = piece;
    content = found;
  }
  if (!content || !content->is_string()) refuse("it has no text");
  std::string_view wanted = content->as_string();
  size_t at = text.rfind(wanted);
  if (at == std::string::npos) {  // many templates trim what they are given
    constexpr std::string_view kSpaces = " \t\r\n\f\v";
    const size_t first = std::min(wanted.find_first_not_of(kSpaces), wanted.size());
    wanted.remove_prefix(first);
    wanted = wanted.substr(0, wanted.find_last_not_of(kSpaces) + 1);
    at = text.rfind(wanted);
  }
  if (at == std::string::npos) refuse("the template does not keep its text");
  return at + wanted.size();
}

}  // namespace

ChatTemplate ChatTemplate::from_config(std::string_view json, const std::string& source) {
  const Value config = config_of(json, source);
  const Value* given = config.find("chat_template");
  if (!given || given->is_none()) {
    throw Error(ErrorCode::kNotFound,
                source + ": found no chat_template; this model's prompts are plain text");
  }
  const std::string at = source + ": chat_template";
  ChatTemplate result;
  result.source_ = at;
  result.special_tokens_ = tokens_of(config);
  if (given->is_string()) {
    result.add("default", given->as_string(), at);
    return result;
  }
  const auto add = [&](const std::string& name, const Value& text) {
    if (!text.is_string()) throw_corrupt(fmt::format("{}: {}: expected a string", at, name));
    result.add(name, text.as_string(), fmt::format("{}: {}", at, name));
  };
  if (given->is_dict()) {
    for (const auto& [name, text] : given->entries()) add(name.as_string(), text);
  } else if (given->is_sequence()) {
    for (const Value& entry : given->items()) {
      const Value* name = entry.is_dict() ? entry.find("name") : nullptr;
      const Value* text = entry.is_dict() ? entry.find("template") : nullptr;
      if (!name || !name->is_string() || !text) throw_corrupt(at + ": expected a list of {name, template}");
      add(name->as_string(), *text);
    }
  } else {
    throw_corrupt(at + ": expected a string or a list of named templates");
  }
  if (result.templates_.empty()) throw_corrupt(at + ": found an empty list, expected at least one template");
  return result;
}

ChatTemplate::SpecialTokens ChatTemplate::special_tokens_of(std::string_view json,
                                                            const std::string& source) {
  return tokens_of(config_of(json, source));
}

ChatTemplate ChatTemplate::from_text(std::string_view text, SpecialTokens special_tokens,
                                     const std::string& source) {
  return from_texts({{"default", std::string(text)}}, std::move(special_tokens), source);
}

ChatTemplate ChatTemplate::from_texts(const std::map<std::string, std::string>& texts,
                                      SpecialTokens special_tokens, const std::string& source) {
  ChatTemplate result;
  result.source_ = source;
  result.special_tokens_ = std::move(special_tokens);
  for (const auto& [name, text] : texts) result.add(name, text, source);
  return result;
}

void ChatTemplate::add(const std::string& name, std::string_view text, const std::string& source) {
  if (!templates_.emplace(name, jinja::Template::parse(text, source)).second) return;
  texts_.append(text);
  texts_ += '\0';
}

bool ChatTemplate::contains(std::string_view part) const { return texts_.find(part) != std::string::npos; }

std::vector<std::string> ChatTemplate::names() const {
  std::vector<std::string> names;
  for (const auto& [name, parsed] : templates_) names.push_back(name);
  return names;
}

const jinja::Template& ChatTemplate::choose(const std::string& name, bool tools) const {
  if (name.empty()) {
    if (const auto at = templates_.find("tool_use"); tools && at != templates_.end()) return at->second;
    if (const auto at = templates_.find("default"); at != templates_.end()) return at->second;
    if (templates_.size() == 1) return templates_.begin()->second;
  }
  const auto at = templates_.find(name);
  if (at == templates_.end()) {
    throw_invalid(fmt::format("{}: found no template named '{}', expected one of: {}", source_,
                              name.empty() ? "default" : name, fmt::join(names(), ", ")));
  }
  return at->second;
}

bool ChatTemplate::mentions(std::string_view name, const std::string& template_name) const {
  return choose(template_name, name == "tools").mentions(name);
}

jinja::RenderResult ChatTemplate::render(const ChatInput& input, const jinja::RenderOptions& options) const {
  if (!input.messages.is_sequence()) throw_invalid(source_ + ": messages: expected a list");
  if (input.add_generation_prompt && input.continue_final_message)
    throw_invalid(source_ + ": expected add_generation_prompt or continue_final_message, not both");
  std::vector<std::pair<std::string, Value>> variables;
  for (const auto& [name, token] : special_tokens_) variables.emplace_back(name, Value::string(token));
  variables.emplace_back("messages", input.messages);
  variables.emplace_back("tools", input.tools);
  variables.emplace_back("documents", input.documents);
  variables.emplace_back("add_generation_prompt", Value::boolean(input.add_generation_prompt));
  variables.insert(variables.end(), input.variables.begin(), input.variables.end());
  const jinja::Template& chosen =
      choose(input.template_name, !input.tools.is_none() && !input.tools.is_undefined());
  jinja::RenderResult result = chosen.render(Value::dict(std::move(variables)), options);
  if (input.continue_final_message) {
    result.text.resize(end_of_final_message(result.text, input.messages, source_));
    for (auto& [begin, end] : result.generated) {
      begin = std::min(begin, result.text.size());
      end = std::min(end, result.text.size());
    }
  }
  return result;
}

}  // namespace hoist::text
