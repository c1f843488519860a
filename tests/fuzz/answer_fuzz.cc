// Any text as the answer of a chat model: how it is cut into pieces changes nothing, and calls are numbered
// without gaps.
// Links: io
#include "base/check.h"
#include "serve/answer_parser.cc"  // all it needs of serve; the layer would bring the engine along
#include "serve/call_reader.cc"
#include "serve/call_scanner.cc"
#include "serve/deepseek_call.cc"
#include "serve/python_call.cc"
#include "serve/xml_call.cc"

using namespace hoist;
using namespace hoist::serve;

namespace {

std::string parse(const AnswerStyle& style, std::string_view text, size_t step) {
  AnswerParser parser(style);
  std::string reasoning, said;
  std::vector<std::string> calls;
  const auto take = [&](const http::CompletionEvent& event) {
    reasoning += event.reasoning;
    said += event.text;
    for (const http::ToolCallDelta& d : event.tool_calls) {
      const auto index = static_cast<size_t>(d.index);
      HOIST_CHECK(index <= calls.size(), "calls have no gaps");
      if (index == calls.size()) {
        HOIST_CHECK(!d.id.empty() && !d.name.empty(), "a call begins with its name");
        calls.push_back(d.name + "(");
      }
      calls[index] += d.arguments;
    }
  };
  for (size_t at = 0; at < text.size(); at += step) {
    http::CompletionEvent event;
    parser.feed(text.substr(at, step), event);
    take(event);
  }
  http::CompletionEvent event;
  parser.finish(event);
  take(event);
  HOIST_CHECK(reasoning.size() + said.size() <= text.size(), "nothing is made up");
  std::string all = reasoning + "|" + said;
  for (const std::string& call : calls) all += "|" + call;
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  AnswerStyle style;
  style.texts = std::make_shared<const TextParameters>(TextParameters{{"f", {"s"}}});
  style.tools = static_cast<ToolStyle>(data[0] % 8);
  style.reasoning = data[0] / 8 % 2;
  style.in_reasoning = style.reasoning && data[0] / 16 % 2;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = parse(style, text, text.size());
  HOIST_CHECK(parse(style, text, 1) == whole && parse(style, text, 7) == whole, "cuts change nothing");
  return 0;
}
