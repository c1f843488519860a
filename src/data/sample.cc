#include "data/sample.h"

#include <optional>

#include "base/error.h"
#include "io/json.h"

namespace hoist::data {

using io::Json;
using text::jinja::Value;

namespace {

Value message(std::string_view role, std::string_view content) {
  return Value::dict({{"role", Value::string(role)}, {"content", Value::string(content)}});
}

void add(Sample& s, std::string_view role, std::string_view content) {
  s.messages.push_back(message(role, content));
  s.trained.push_back(role == "assistant");
}

// Appends a list of chat messages; `train` says whether the assistant's carry loss.
void add_messages(Sample& s, const Json& list, const std::string& source, bool train) {
  if (!list.is_array() || list.size() == 0 || list.size() + s.messages.size() > kMaxMessages)
    list.refuse("a list of 1 to " + std::to_string(kMaxMessages) + " messages");
  for (const Json& m : list.elements()) {
    if (!m.is_object()) m.refuse("a message: an object with role and content");
    const std::string_view role = m.get_string("role");
    const auto content = m.find("content");
    if (content && !content->is_string() && !content->is_array() && !content->is_null())
      content->refuse("text, a list of parts, or null");
    if (!content && !m.find("tool_calls")) m.refuse("a message with content or tool_calls");
    bool counts = train && role == "assistant";
    if (const auto weight = m.find("weight")) counts &= weight->as_double(0, 1) > 0;
    s.messages.push_back(Value::from_json(m.dump(), source));
    s.trained.push_back(counts);
  }
}

Value tools_of(const Json& root, const std::string& source) {
  const auto tools = root.find("tools");
  if (!tools || tools->is_null()) return Value::none();
  // ShareGPT files hold the list as text.
  if (tools->is_string())
    return tools->as_string().empty() ? Value::none()
                                      : Value::from_json(tools->as_string(), source + ": tools");
  if (!tools->is_array()) tools->refuse("a list of tools");
  return tools->size() ? Value::from_json(tools->dump(), source) : Value::none();
}

void add_system(Sample& s, const Json& root) {
  const auto system = root.find("system");
  if (system && !system->is_null() && !system->as_string().empty()) add(s, "system", system->as_string());
}

Sample read_text(const Json& root, const std::string& field) {
  Sample s;
  s.text = root.get_string(field);
  return s;
}

Sample read_prompt_completion(const Json& root, const std::string& source) {
  Sample s;
  const Json prompt = root.at("prompt"), completion = root.at("completion");
  if (prompt.is_string()) {
    s.kind = Sample::Kind::kCompletion;
    s.prompt = prompt.as_string();
    s.text = completion.as_string();
    return s;
  }
  s.kind = Sample::Kind::kChat;
  s.tools = tools_of(root, source);
  add_messages(s, prompt, source, false);
  add_messages(s, completion, source, true);
  return s;
}

Sample read_messages(const Json& root, const std::string& source) {
  Sample s;
  s.kind = Sample::Kind::kChat;
  s.tools = tools_of(root, source);
  add_messages(s, root.at("messages"), source, true);
  return s;
}

Sample read_sharegpt(const Json& root, const std::string& source) {
  constexpr std::pair<std::string_view, std::string_view> kRoles[] = {
      {"human", "user"},          {"user", "user"},         {"gpt", "assistant"},
      {"assistant", "assistant"}, {"system", "system"},     {"tool", "tool"},
      {"observation", "tool"},    {"chatgpt", "assistant"}, {"function_response", "tool"}};
  Sample s;
  s.kind = Sample::Kind::kChat;
  s.tools = tools_of(root, source);
  add_system(s, root);
  const Json list = root.at("conversations");
  if (!list.is_array() || list.size() == 0 || list.size() >= kMaxMessages)
    list.refuse("a list of 1 to " + std::to_string(kMaxMessages - 1) + " turns");
  for (const Json& turn : list.elements()) {
    const Json from = turn.at("from");
    const std::string_view name = from.as_string();
    std::string_view role;
    for (const auto& [theirs, ours] : kRoles)
      if (theirs == name) role = ours;
    if (role.empty()) from.refuse("one of human, user, gpt, assistant, chatgpt, system, tool, observation");
    add(s, role, turn.get_string("value"));
    if (const auto weight = turn.find("weight"); weight && weight->as_double(0, 1) == 0) s.trained.back() = 0;
  }
  return s;
}

Sample read_alpaca(const Json& root) {
  Sample s;
  s.kind = Sample::Kind::kChat;
  add_system(s, root);
  if (const auto history = root.find("history"); history && !history->is_null()) {
    if (!history->is_array() || history->size() >= kMaxMessages / 2) history->refuse("a list of turns");
    for (const Json& turn : history->elements()) {
      if (!turn.is_array() || turn.size() != 2) turn.refuse("an instruction and an output");
      bool first = true;
      for (const Json& said : turn.elements()) {
        add(s, first ? "user" : "assistant", said.as_string());
        first = false;
      }
    }
  }
  std::string user(root.get_string("instruction"));
  const auto input = root.find("input");
  if (input && !input->is_null() && !input->as_string().empty())
    user += (user.empty() ? "" : "\n\n") + std::string(input->as_string());
  add(s, "user", user);
  add(s, "assistant", root.get_string("output"));
  return s;
}

SampleFormat format_of(const Json& root, const std::string& text_field) {
  if (root.find("messages")) return SampleFormat::kMessages;
  if (root.find("conversations")) return SampleFormat::kShareGpt;
  if (root.find("instruction") && root.find("output")) return SampleFormat::kAlpaca;
  if (root.find("prompt") && root.find("completion")) return SampleFormat::kPromptCompletion;
  if (root.find(text_field)) return SampleFormat::kText;
  root.refuse("a sample: messages, conversations, instruction and output, prompt and completion, or " +
              text_field);
}

}  // namespace

SampleFormat parse_sample_format(std::string_view name) {
  constexpr std::pair<std::string_view, SampleFormat> kNames[] = {
      {"auto", SampleFormat::kAuto},         {"text", SampleFormat::kText},
      {"messages", SampleFormat::kMessages}, {"prompt_completion", SampleFormat::kPromptCompletion},
      {"alpaca", SampleFormat::kAlpaca},     {"sharegpt", SampleFormat::kShareGpt}};
  for (const auto& [known, format] : kNames)
    if (known == name) return format;
  throw_invalid("sample format: found '" + std::string(name) +
                "', expected one of auto, text, messages, prompt_completion, alpaca, sharegpt");
}

Sample parse_sample(std::string_view json, const std::string& source, SampleFormat format,
                    const std::string& text_field) {
  io::JsonOptions options;
  options.value_error = ErrorCode::kCorrupt;
  const io::JsonDocument document = io::JsonDocument::parse(json, source, options);
  const Json root = document.root();
  if (!root.is_object()) root.refuse("an object");
  if (format == SampleFormat::kAuto) format = format_of(root, text_field);
  switch (format) {
    case SampleFormat::kPromptCompletion: return read_prompt_completion(root, source);
    case SampleFormat::kMessages: return read_messages(root, source);
    case SampleFormat::kShareGpt: return read_sharegpt(root, source);
    case SampleFormat::kAlpaca: return read_alpaca(root);
    case SampleFormat::kText:
    case SampleFormat::kAuto: break;
  }
  return read_text(root, text_field);
}

}  // namespace hoist::data
