#include "serve/tool_style.h"

namespace hoist::serve {

ToolStyle tool_style_of(const text::ChatTemplate& chat) {
  if (chat.contains("<tool_call>")) return ToolStyle::kTagged;
  if (chat.contains("[TOOL_CALLS]")) return ToolStyle::kMistral;
  return ToolStyle::kObject;
}

text::TaggedValues forced_calls(const std::vector<http::Tool>& tools, bool several, ToolStyle& style) {
  text::TaggedValues values;
  const char* arguments = "arguments";
  if (style == ToolStyle::kTagged) {
    values.begin = "<tool_call>\n";
    values.separator = "\n</tool_call>\n<tool_call>\n";
    values.end = "\n</tool_call>";
    values.several = several;
  } else if (style == ToolStyle::kObject) {
    arguments = "parameters";
    values.separator = "; ";
    values.several = several;
  } else {  // Mistral's mark is a special token, which grammars do not write
    style = ToolStyle::kList;
    values.begin = "[";
    values.separator = ", ";
    values.end = "]";
    values.several = several;
  }
  for (const http::Tool& tool : tools)  // names are plain letters: the API has seen to it
    values.choices.push_back(
        {"{\"name\": \"" + tool.name + "\", \"" + arguments + "\": ", tool.parameters, "}"});
  return values;
}

}  // namespace hoist::serve
