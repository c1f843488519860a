#include "serve/tool_style.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "io/json.h"
#include "io/json_value.h"

namespace hoist::serve {
namespace {

using io::Json;

bool is_text(const Json& schema);

bool any_is_text(const std::optional<Json>& list) {
  if (!list || !list->is_array()) return false;
  for (const Json one : list->elements()) {
    if (one.is_string() && one.as_string() == "string") return true;
    // Choices of types, one deep: what generators of schemas write for an optional string.
    const auto type = one.is_object() ? one.find("type") : std::nullopt;
    if (type && type->is_string() && type->as_string() == "string") return true;
  }
  return false;
}

bool all_are_strings(const std::optional<Json>& list) {
  if (!list || !list->is_array() || list->size() == 0) return false;
  for (const Json one : list->elements())
    if (!one.is_string()) return false;
  return true;
}

bool is_text(const Json& schema) {
  if (!schema.is_object()) return false;
  if (const auto type = schema.find("type"))
    return type->is_string() ? type->as_string() == "string" : any_is_text(type);
  const auto value = schema.find("const");
  return all_are_strings(schema.find("enum")) || (value && value->is_string()) ||
         any_is_text(schema.find("anyOf")) || any_is_text(schema.find("oneOf"));
}

template <class Each>
void for_each_parameter(const http::Tool& tool, Each each) {
  const auto document = io::JsonDocument::parse(tool.parameters, "parameters of " + tool.name);
  const Json root = document.root();
  const auto properties = root.is_object() ? root.find("properties") : std::nullopt;
  if (!properties || !properties->is_object()) return;
  for (const auto& [key, value] : properties->members()) each(root, std::string(key), value);
}

bool is_required(const Json& root, std::string_view key) {
  const auto list = root.find("required");
  if (!list || !list->is_array()) return false;
  for (const Json one : list->elements())
    if (one.is_string() && one.as_string() == key) return true;
  return false;
}

// A parameter's schema with what its references point into.
std::string whole_schema(const Json& root, const Json& value) {
  const auto parts = root.find("$defs"), older = root.find("definitions");
  if (!parts && !older) return value.dump();
  std::string out = R"({"$ref":"#/$defs/ parameter","$defs":{" parameter":)" + value.dump();
  if (parts && parts->is_object())
    for (const auto& [key, part] : parts->members())
      out += "," + io::JsonValue(key).dump() + ":" + part.dump();
  out += "}";
  if (older) out += ",\"definitions\":" + older->dump();
  return out + "}";
}

std::vector<text::TaggedValues::Field> form_fields(const http::Tool& tool) {
  std::vector<text::TaggedValues::Field> fields;
  for_each_parameter(tool, [&](const Json& root, const std::string& key, const Json& value) {
    if (key.empty() || key.size() > CallReader::kMaxName || key.find_first_of("<>\n") != std::string::npos)
      throw Error(ErrorCode::kUnsupported, tool.name + ": found the parameter '" + key.substr(0, 60) +
                                               "', expected a name without < and >");
    const bool text = is_text(value);
    fields.push_back({"<parameter=" + key + ">\n", text ? value.dump() : whole_schema(root, value),
                      "\n</parameter>\n", is_required(root, key), text});
  });
  return fields;
}

// Those required first; where none is, each brings a comma behind it, which Python allows.
std::vector<text::TaggedValues::Field> python_fields(const http::Tool& tool) {
  std::vector<text::TaggedValues::Field> fields;
  for_each_parameter(tool, [&](const Json& root, const std::string& key, const Json& value) {
    const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    if (key.empty() || key.size() > CallReader::kMaxName || !std::all_of(key.begin(), key.end(), plain) ||
        std::isdigit(static_cast<unsigned char>(key[0])))
      throw Error(ErrorCode::kUnsupported, tool.name + ": found the parameter '" + key.substr(0, 60) +
                                               "', expected letters, digits and _");
    fields.push_back({key + "=", whole_schema(root, value), "", is_required(root, key), false});
  });
  std::stable_partition(fields.begin(), fields.end(), [](const auto& f) { return f.required; });
  const bool leads = !fields.empty() && fields[0].required;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (leads && i > 0) fields[i].before = ", " + fields[i].before;
    if (!leads) fields[i].after = ", ";
  }
  return fields;
}

}  // namespace

ToolStyle tool_style_of(const text::ChatTemplate& chat) {
  if (chat.contains("<function=") && chat.contains("<parameter=")) return ToolStyle::kXml;
  if (chat.contains(DeepSeekCall::kCallsBegin)) return ToolStyle::kDeepSeek;
  if (chat.contains("[func_name1(params_name1=")) return ToolStyle::kPython;
  if (chat.contains("<tool_call>")) return ToolStyle::kTagged;
  if (chat.contains("[TOOL_CALLS]")) return ToolStyle::kMistral;
  return ToolStyle::kObject;
}

TextParameters text_parameters(const std::vector<http::Tool>& tools) {
  TextParameters out;
  for (const http::Tool& tool : tools) {
    auto& texts = out[tool.name];
    for_each_parameter(tool, [&](const Json&, const std::string& key, const Json& value) {
      if (is_text(value)) texts.insert(key);
    });
  }
  return out;
}

text::TaggedValues forced_calls(const std::vector<http::Tool>& tools, bool several, ToolStyle& style,
                                const text::ChatTemplate& chat) {
  text::TaggedValues values;
  values.several = several;
  const auto objects = [&](const char* arguments) {
    for (const http::Tool& tool : tools)  // names are plain letters: the API has seen to it
      values.choices.push_back(
          {"{\"name\": \"" + tool.name + "\", \"" + arguments + "\": ", tool.parameters, "}", {}});
  };
  switch (style) {
    case ToolStyle::kTagged:
      values.begin = "<tool_call>\n";
      values.separator = "\n</tool_call>\n<tool_call>\n";
      values.end = "\n</tool_call>";
      objects("arguments");
      break;
    case ToolStyle::kXml:
      values.begin = "<tool_call>\n";
      values.separator = "\n</tool_call>\n<tool_call>\n";
      values.end = "\n</tool_call>";
      values.stop = "</parameter>";
      for (const http::Tool& tool : tools)
        values.choices.push_back({"<function=" + tool.name + ">\n", "", "</function>", form_fields(tool)});
      break;
    case ToolStyle::kDeepSeek: {
      const std::string begin(DeepSeekCall::kBegin), end(DeepSeekCall::kEnd),
          separator(DeepSeekCall::kSeparator);
      const bool fenced = chat.contains("```json");  // V3 and R1; V3.1 has the name in front
      values.begin = DeepSeekCall::kCallsBegin;
      values.separator = fenced ? "\n" : "";
      values.end = DeepSeekCall::kCallsEnd;
      for (const http::Tool& tool : tools)
        values.choices.push_back({fenced ? begin + "function" + separator + tool.name + "\n```json\n"
                                         : begin + tool.name + separator,
                                  tool.parameters,
                                  (fenced ? "\n```" : "") + end,
                                  {}});
      break;
    }
    case ToolStyle::kPython:
      values.begin = "[";
      values.separator = ", ";
      values.end = "]";
      for (const http::Tool& tool : tools)
        values.choices.push_back({tool.name + "(", "", ")", python_fields(tool)});
      break;
    case ToolStyle::kObject:
      values.separator = "; ";
      objects("parameters");
      break;
    default:  // Mistral's mark is a special token, which grammars do not write
      style = ToolStyle::kList;
      values.begin = "[";
      values.separator = ", ";
      values.end = "]";
      objects("arguments");
  }
  return values;
}

}  // namespace hoist::serve
