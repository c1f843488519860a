// See chat_request.h.
#include "http/chat_request.h"

#include <algorithm>

#include "http/request_fields.h"
#include "io/json_value.h"

namespace hoist::http {
namespace {

using io::Json;
using io::JsonValue;

constexpr size_t kMaxMessages = 4096, kMaxTools = 256, kMaxParts = 4096;

JsonValue copy(const Json& value) { return JsonValue::from_text(value.dump()); }

std::string content_of(const Json& content) {
  if (content.is_null()) return "";
  if (content.is_string()) return std::string(content.as_string());
  if (!content.is_array()) content.refuse("a string or a list of text parts");
  if (content.size() > kMaxParts) content.refuse("at most " + std::to_string(kMaxParts) + " parts");
  std::string text;
  bool first = true;
  for (const Json part : content.elements()) {
    const std::string_view type = part.at("type").as_string();
    if (type != "text" && type != "refusal")
      part.at("type").fail(ErrorCode::kUnsupported, "found \"" + std::string(type.substr(0, 40)) +
                                                        "\", expected \"text\": this server reads text only");
    if (!first) text += '\n';
    first = false;
    text += part.at(type).as_string();
  }
  return text;
}

// The arguments of an earlier call: templates want the object that the API writes as a string.
JsonValue arguments_of(const Json& arguments) {
  if (arguments.is_object()) return copy(arguments);
  const std::string_view text = arguments.as_string();
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return JsonValue::object();
  io::JsonOptions options;
  options.syntax_error = ErrorCode::kInvalidArgument;
  try {
    const io::JsonDocument document = io::JsonDocument::parse(text, "arguments", options);
    if (document.root().is_object()) return copy(document.root());
  } catch (const Error&) {
  }
  arguments.refuse("the JSON text of an object");
}

JsonValue calls_of(const Json& calls) {
  JsonValue out = JsonValue::array();
  for (const Json call : calls.elements()) {
    JsonValue one = JsonValue::object();
    for (const auto& [key, value] : call.members()) {
      if (key != "function") {
        one[key] = copy(value);
        continue;
      }
      JsonValue function = {{"name", value.at("name").as_string()}};
      if (const auto arguments = value.find("arguments"))
        function["arguments"] = arguments_of(*arguments);
      else
        function["arguments"] = JsonValue::object();
      one["function"] = std::move(function);
    }
    if (!one.contains("function")) call.refuse("a call with a function");
    out.push_back(std::move(one));
  }
  return out;
}

std::string read_messages(const Json& list, bool& assistant_last) {
  if (!list.is_array() || list.size() == 0 || list.size() > kMaxMessages)
    list.refuse("a list of 1 to " + std::to_string(kMaxMessages) + " messages");
  JsonValue out = JsonValue::array();
  for (const Json message : list.elements()) {
    if (!message.is_object()) message.refuse("an object with role and content");
    const std::string_view role = message.at("role").as_string();
    if (role != "system" && role != "developer" && role != "user" && role != "assistant" && role != "tool")
      message.at("role").refuse("\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
    assistant_last = role == "assistant";
    JsonValue one = {{"role", role}};
    const auto content = message.find("content");
    const auto calls = message.find("tool_calls");
    const bool has_calls = calls && !calls->is_null() && calls->size() > 0;
    if ((!content || content->is_null()) && role != "assistant") message.at("content").refuse("a string");
    one["content"] = content ? content_of(*content) : "";
    if (has_calls && role != "assistant") calls->refuse("tool calls in messages of the assistant only");
    if (has_calls) one["tool_calls"] = calls_of(*calls);
    for (const auto& [key, value] : message.unread_members()) {
      if (value.is_null()) continue;
      if (key == "audio" || key == "function_call") value.fail(ErrorCode::kUnsupported, "not supported");
      one[key] = copy(value);
    }
    out.push_back(std::move(one));
  }
  return out.dump();
}

bool is_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

void read_tools(const Json& list, ChatPrompt& chat) {
  if (!list.is_array() || list.size() > kMaxTools)
    list.refuse("a list of at most " + std::to_string(kMaxTools) + " tools");
  for (const Json tool : list.elements()) {
    if (tool.at("type").as_string() != "function")
      tool.at("type").fail(ErrorCode::kUnsupported,
                           "found " + tool.at("type").excerpt() + ", expected \"function\"");
    const Json function = tool.at("function");
    const std::string_view name = function.at("name").as_string();
    if (!is_tool_name(name)) function.at("name").refuse("1 to 64 letters, digits, '_', '-' or '.'");
    for (const Tool& other : chat.tools)
      if (other.name == name) function.at("name").fail(ErrorCode::kInvalidArgument, "given twice");
    const auto parameters = function.find("parameters");
    const bool none = !parameters || parameters->is_null();
    if (!none && !parameters->is_object()) parameters->refuse("a JSON schema");
    chat.tools.push_back(
        {std::string(name), none ? R"({"type":"object","properties":{}})" : parameters->dump()});
  }
  if (!chat.tools.empty()) chat.tools_json = list.dump();
}

ToolChoice read_choice(const Json& choice, std::string& name) {
  if (choice.is_string()) {
    const std::string_view word = choice.as_string();
    if (word == "auto") return ToolChoice::kAuto;
    if (word == "none") return ToolChoice::kNone;
    if (word == "required") return ToolChoice::kRequired;
  } else if (choice.is_object() && choice.at("type").as_string() == "function") {
    name = choice.at("function").at("name").as_string();
    return ToolChoice::kNamed;
  }
  choice.refuse(R"("none", "auto", "required" or {"type": "function", "function": {"name": ...}})");
}

}  // namespace

bool ConversationReader::read(std::string_view key, const Json& value) {
  if (key == "messages") {
    has_messages_ = true;
    chat_.messages = read_messages(value, assistant_last_);
  } else if (key == "tools") {
    read_tools(value, chat_);
  } else if (key == "tool_choice") {
    chose_ = true;
    chat_.choice = read_choice(value, choice_name_);
  } else if (key == "parallel_tool_calls") {
    chat_.parallel_tool_calls = value.as_bool();
  } else if (key == "add_generation_prompt") {
    chat_.add_generation_prompt = value.as_bool();
  } else if (key == "continue_final_message") {
    chat_.continue_final_message = value.as_bool();
  } else if (key == "reasoning_format") {
    const std::string_view format = value.as_string();
    if (format != "none" && format != "auto" && format != "deepseek")
      value.refuse("\"auto\", \"deepseek\" or \"none\"");
    chat_.parse_reasoning = format != "none";
  } else if (key == "reasoning_effort") {
    value.as_string(40);
    variables_.emplace_back(key, value.dump());
  } else if (key == "chat_template_kwargs") {
    for (const auto& [name, variable] : value.members()) {
      for (const std::string_view own : {"messages", "tools", "add_generation_prompt"})
        if (name == own) variable.fail(ErrorCode::kInvalidArgument, "has a field of its own");
      variables_.emplace_back(name, variable.dump());
    }
  } else {
    return false;
  }
  return true;
}

ChatPrompt ConversationReader::finish() {
  if (!has_messages_) refuse_field("messages", "missing", "missing_field");
  if (chat_.continue_final_message && chat_.add_generation_prompt)
    refuse_field("continue_final_message", "expected only together with add_generation_prompt: false");
  if (chat_.continue_final_message && !assistant_last_)
    refuse_field("continue_final_message", "expected the last message to be the assistant's");
  if (chat_.tools.empty() && chose_ && chat_.choice != ToolChoice::kAuto && chat_.choice != ToolChoice::kNone)
    refuse_field("tool_choice", "found no tools to choose from");
  if (chat_.choice == ToolChoice::kNamed) {
    chat_.tool_name = choice_name_;
    if (std::none_of(chat_.tools.begin(), chat_.tools.end(),
                     [&](const Tool& t) { return t.name == choice_name_; }))
      refuse_field("tool_choice", "found no tool of that name");
  }
  JsonValue variables = JsonValue::object();
  for (const auto& [name, text] : variables_) variables[name] = JsonValue::from_text(text);
  if (!variables_.empty()) chat_.variables = variables.dump();
  return std::move(chat_);
}

CompletionsCall parse_chat_call(std::string_view body, size_t max_bytes) {
  RequestReader reader{RequestField::kChat};
  ConversationReader conversation;
  reader.shared.max_tokens = CompletionRequest::kAsManyAsFit;
  read_body(body, max_bytes, RequestField::kChat, [&](std::string_view key, const Json& value) {
    if (conversation.read(key, value) || reader.read(key, value)) return;
    if (key == "store") {
      if (value.as_bool())
        value.fail(ErrorCode::kUnsupported, "found true, expected false: nothing is stored");
    } else if (key == "service_tier") {
      if (value.as_string() != "auto" && value.as_string() != "default")
        value.refuse("\"auto\" or \"default\"");
    } else if (key == "modalities") {
      for (const Json one : value.elements())
        if (one.as_string() != "text")
          one.fail(ErrorCode::kUnsupported, "found " + one.excerpt() + ", expected \"text\"");
    } else if (key == "prompt_cache_key" || key == "safety_identifier") {
      value.as_string();
    } else {
      value.fail(ErrorCode::kUnsupported, "unknown field");
    }
  });
  ChatPrompt chat = conversation.finish();
  reader.check();
  CompletionRequest& request = reader.shared;
  if (reader.top_logprobs >= 0) request.logprobs = reader.top_logprobs;
  if (request.format.kind != AnswerFormat::Kind::kFree && !chat.tools.empty() &&
      chat.choice != ToolChoice::kNone)
    refuse_field(request.format.field, "not supported together with tools, unless tool_choice is none",
                 "unsupported");
  request.chat = std::make_shared<const ChatPrompt>(std::move(chat));
  reader.call.chat = true;
  reader.call.sequences.push_back(std::move(request));
  return std::move(reader.call);
}

}  // namespace hoist::http
