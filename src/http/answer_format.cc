// See answer_format.h.
#include "http/answer_format.h"

namespace hoist::http {
namespace {

using io::Json;
using Kind = AnswerFormat::Kind;

constexpr size_t kMaxChoices = 1024;

std::string text_of(const Json& value) {
  const std::string_view text = value.as_string();
  if (text.empty()) value.refuse("a string that is not empty");
  return std::string(text);
}

// A schema, or in a string the text of one.
std::string schema_of(const Json& value) {
  if (value.is_string()) return text_of(value);
  if (!value.is_object() && value.type() != io::JsonType::kBool) value.refuse("a JSON schema");
  return value.dump();
}

std::vector<std::string> choices_of(const Json& list) {
  if (!list.is_array() || list.size() == 0 || list.size() > kMaxChoices)
    list.refuse("a list of 1 to " + std::to_string(kMaxChoices) + " strings");
  std::vector<std::string> choices;
  for (const Json one : list.elements()) choices.push_back(text_of(one));
  return choices;
}

AnswerFormat read_response_format(const Json& format) {
  const std::string_view type = format.at("type").as_string();
  AnswerFormat out;
  if (type == "json_object") {
    out.kind = Kind::kJsonObject;
    if (const auto schema = format.find("schema"); schema && !schema->is_null()) {
      out.kind = Kind::kJsonSchema;
      out.text = schema_of(*schema);
    }
  } else if (type == "json_schema") {
    const Json holder = format.at("json_schema");
    out.kind = Kind::kJsonSchema;
    out.text = schema_of(holder.at("schema"));
    for (const char* note : {"name", "description", "strict"}) holder.find(note);
    for (const auto& [key, value] : holder.unread_members())
      value.fail(ErrorCode::kUnsupported, "unknown field");
  } else if (type != "text") {
    format.at("type").refuse("\"text\", \"json_object\" or \"json_schema\"");
  }
  for (const auto& [key, value] : format.unread_members())
    value.fail(ErrorCode::kUnsupported, "unknown field");
  return out;
}

AnswerFormat read_structured(const Json& object) {
  AnswerFormat out;
  for (const auto& [key, value] : object.members()) {
    if (value.is_null()) continue;
    if (out.kind != Kind::kFree) value.fail(ErrorCode::kInvalidArgument, "expected only one of these fields");
    if (key == "json")
      out = {Kind::kJsonSchema, schema_of(value), {}, ""};
    else if (key == "regex")
      out = {Kind::kRegex, text_of(value), {}, ""};
    else if (key == "grammar")
      out = {Kind::kGrammar, text_of(value), {}, ""};
    else if (key == "choice")
      out = {Kind::kChoice, "", choices_of(value), ""};
    else if (key == "json_object")
      out.kind = value.as_bool() ? Kind::kJsonObject : Kind::kFree;
    else
      value.fail(ErrorCode::kUnsupported, "unknown field");
  }
  return out;
}

AnswerFormat read(std::string_view key, const Json& value) {
  if (key == "response_format") return read_response_format(value);
  if (key == "structured_outputs") return read_structured(value);
  if (key == "grammar" || key == "guided_grammar") return {Kind::kGrammar, text_of(value), {}, ""};
  if (key == "regex" || key == "guided_regex") return {Kind::kRegex, text_of(value), {}, ""};
  if (key == "guided_choice") return {Kind::kChoice, "", choices_of(value), ""};
  return {Kind::kJsonSchema, schema_of(value), {}, ""};
}

}  // namespace

bool is_format_field(std::string_view key) {
  for (const std::string_view known :
       {"response_format", "structured_outputs", "grammar", "guided_grammar", "regex", "guided_regex",
        "guided_choice", "guided_json", "json_schema"})
    if (key == known) return true;
  return false;
}

AnswerFormat read_format(std::string_view key, const Json& value) {
  AnswerFormat format = read(key, value);
  format.field = key;
  return format;
}

}  // namespace hoist::http
