// Reasoning, text and tool calls told apart, however the text arrives.
#include "serve/answer_parser.h"

#include <gtest/gtest.h>

#include <random>

namespace hoist::serve {
namespace {

struct Call {
  std::string id, name, arguments;
};
struct Parsed {
  std::string reasoning, text;
  std::vector<Call> calls;
  // "think|text|name(arguments)..."
  std::string summary() const {
    std::string out = reasoning + "|" + text + "|";
    for (const Call& c : calls) out += c.name + "(" + c.arguments + ")";
    return out;
  }
};

void take(const http::CompletionEvent& event, Parsed& out) {
  out.reasoning += event.reasoning;
  out.text += event.text;
  for (const http::ToolCallDelta& d : event.tool_calls) {
    const auto index = static_cast<size_t>(d.index);
    ASSERT_LE(index, out.calls.size());
    if (index == out.calls.size()) {
      ASSERT_FALSE(d.id.empty() || d.name.empty());
      out.calls.push_back({d.id, d.name, ""});
    } else {
      ASSERT_TRUE(d.id.empty() && d.name.empty());
    }
    out.calls[index].arguments += d.arguments;
  }
}

// `cut`: bytes in a piece; 0: at random.
Parsed parse(const AnswerStyle& style, std::string_view text, size_t cut, std::mt19937& random) {
  AnswerParser parser(style);
  Parsed out;
  while (!text.empty()) {
    const size_t n = std::min(text.size(), cut ? cut : 1 + random() % 12);
    http::CompletionEvent event;
    parser.feed(text.substr(0, n), event);
    take(event, out);
    text.remove_prefix(n);
  }
  http::CompletionEvent event;
  parser.finish(event);
  take(event, out);
  EXPECT_EQ(parser.called(), !out.calls.empty());
  return out;
}

AnswerStyle style_of(ToolStyle tools, bool reasoning = false, bool in_reasoning = false) {
  AnswerStyle s;
  s.tools = tools;
  s.reasoning = reasoning;
  s.in_reasoning = in_reasoning;
  s.id_seed = 5;
  return s;
}

TEST(AnswerParser, Formats) {
  struct Case {
    AnswerStyle style;
    const char *text, *expected;
  };
  const AnswerStyle none = style_of(ToolStyle::kNone), think = style_of(ToolStyle::kNone, true),
                    thinking = style_of(ToolStyle::kNone, true, true), tagged = style_of(ToolStyle::kTagged),
                    both = style_of(ToolStyle::kTagged, true), object = style_of(ToolStyle::kObject),
                    mistral = style_of(ToolStyle::kMistral), list = style_of(ToolStyle::kList);
  const Case cases[] = {
      {none, " <think>a</think> <tool_call>{} ", "| <think>a</think> <tool_call>{} |"},
      {think, "<think>\nwhy\n</think>\n\nyes \n", "why|yes \n|"},
      {think, " \n<think>why", "why||"},
      {think, "no <think>a</think>", "|no <think>a</think>|"},
      {think, "<thin", "|<thin|"},
      {think, "", "||"},
      {think, "<think></think>", "||"},
      {think, "<think>a </thin k> b</think>c", "a </thin k> b|c|"},
      {thinking, "so </think> it", "so|it|"},
      {thinking, "so", "so||"},
      {tagged, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}\"]}}\n</tool_call>",
       "||f({\"a\": [1, \"}\"]})"},
      {tagged,
       "Well.\n<tool_call>{\"arguments\":{},\"name\":\"f\"}</tool_call>\n<tool_call>{\"name\":\"g\"}\n"
       "</tool_call>\nDone.",
       "|Well.Done.|f({})g({})"},
      {tagged, "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}</tool_call>", "||f({\"x\":1})"},
      {tagged, "<tool_call>not json</tool_call>", "|<tool_call>not json</tool_call>|"},
      {tagged, "<tool_call>{\"name\":5}</tool_call>", "|<tool_call>{\"name\":5}</tool_call>|"},
      {tagged, "<tool_call>{\"name\":\"f\",\"arguments\":{\"x\":", "||f({\"x\":)"},
      {tagged, "<tool_call>{\"nam", "|<tool_call>{\"nam|"},
      {tagged, "a <tool_cal b", "|a <tool_cal b|"},
      {both, "<think>x</think>\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>", "x||f({})"},
      {object, "{\"name\": \"f\", \"parameters\": {\"q\": \"a;b\"}}", "||f({\"q\": \"a;b\"})"},
      {object,
       "<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}; "
       "{\"name\":\"g\",\"parameters\":{}}",
       "||f({})g({})"},
      {object, "{\"answer\": [1, {\"b\": 2}], \"c\": 3}", "|{\"answer\": [1, {\"b\": 2}], \"c\": 3}|"},
      {object, " plain {\"name\":\"f\"}", "| plain {\"name\":\"f\"}|"},
      {object, "{\"name\": \"f\", \"parameters\": null, \"n\": -1.5e3, \"ok\": true}", "||f({})"},
      {mistral,
       "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"x\": 1}}, {\"name\": \"g\", \"arguments\": {}}]",
       "||f({\"x\": 1})g({})"},
      {mistral, "Hi [TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}, \"id\": \"abc\"}]", "|Hi|f({})"},
      {mistral, "[TOOL_CALLS]f[ARGS]{\"x\": {\"y\": 1}}[TOOL_CALLS]g[ARGS]{}",
       "||f({\"x\": {\"y\": 1}})g({})"},
      {mistral, "[TOOL_CALLS]f{\"x\": \"}\"}", "||f({\"x\": \"}\"})"},
      {mistral, "plain", "|plain|"},
      {list, "[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {\"a\":1}}]",
       "||f({})g({\"a\":1})"},
  };
  std::mt19937 random(1);
  for (const Case& c : cases)
    for (const size_t cut : {size_t{1}, size_t{3}, size_t{0}, size_t{10000}})
      EXPECT_EQ(parse(c.style, c.text, cut, random).summary(), c.expected) << c.text << " cut " << cut;
}

TEST(AnswerParser, IdsAreDrawnAndDiffer) {
  std::mt19937 random(1);
  const char* text = "[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{}},{\"name\":\"g\",\"arguments\":{}}]";
  const Parsed a = parse(style_of(ToolStyle::kMistral), text, 3, random);
  ASSERT_EQ(a.calls.size(), 2u);
  EXPECT_EQ(a.calls[0].id.size(), 9u);
  EXPECT_NE(a.calls[0].id, a.calls[1].id);
  AnswerStyle other = style_of(ToolStyle::kMistral);
  other.id_seed = 6;
  EXPECT_NE(parse(other, text, 3, random).calls[0].id, a.calls[0].id);
}

// Whatever the text, how it is cut changes nothing, and what is not a marker is kept.
TEST(AnswerParser, CutsChangeNothing) {
  const char* pieces[] = {"<think>",
                          "</think>",
                          "<tool_call>",
                          "</tool_call>",
                          "[TOOL_CALLS]",
                          "[ARGS]",
                          "{\"name\": \"f\", \"arguments\": {\"a\": 1}}",
                          "{\"name\":",
                          "\"x\"",
                          "{",
                          "}",
                          "[",
                          "]",
                          ",",
                          ";",
                          "\n",
                          " ",
                          "word",
                          "<",
                          "</th",
                          "<tool",
                          "\\",
                          "\"",
                          "\xC3\xA9",
                          "null",
                          ":",
                          "<|python_tag|>",
                          "\"arguments\":",
                          "\"parameters\""};
  std::mt19937 random(11);
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    for (size_t n = random() % 14; n > 0; --n) text += pieces[random() % std::size(pieces)];
    const AnswerStyle style = style_of(static_cast<ToolStyle>(round % 5), round / 5 % 2, round / 10 % 4 == 3);
    const std::string whole = parse(style, text, 1 << 20, random).summary();
    EXPECT_EQ(parse(style, text, 1, random).summary(), whole) << text;
    EXPECT_EQ(parse(style, text, 0, random).summary(), whole) << text;
    if (style.tools == ToolStyle::kNone && !style.reasoning && !style.in_reasoning) {
      EXPECT_EQ(whole, "|" + text + "|");
    }
  }
}

// Names just within and just beyond what one may have.
TEST(AnswerParser, LongNames) {
  std::mt19937 random(1);
  const size_t longest = CallScanner::kMaxName;
  for (size_t n = longest - 8; n < longest + 8; ++n) {
    const std::string name(n, 'f');
    const std::string mistral = "[TOOL_CALLS]" + name + "[ARGS]{}", json = "{\"name\": \"" + name + "\"}";
    for (const size_t cut : {size_t{1}, size_t{5}, size_t{1000}}) {
      EXPECT_EQ(parse(style_of(ToolStyle::kMistral), mistral, cut, random).summary(),
                n <= longest ? "||" + name + "({})" : "|" + mistral + "|");
      EXPECT_EQ(parse(style_of(ToolStyle::kObject), json, cut, random).summary(),
                n <= longest ? "||" + name + "({})" : "|" + json + "|");
    }
  }
}

TEST(CallScanner, StopsAtTheEndOfTheObject) {
  CallScanner s;
  const std::string_view text = R"({"name":"f","arguments":{"a":"\"}"}} rest)";
  EXPECT_EQ(s.feed(text), text.size() - 5);
  EXPECT_EQ(s.state(), CallScanner::State::kDone);
  CallScanner deep;
  deep.feed("{\"name\":\"f\",\"arguments\":{\"a\":" + std::string(1000, '['));
  EXPECT_EQ(deep.state(), CallScanner::State::kFailed);
}

}  // namespace
}  // namespace hoist::serve
