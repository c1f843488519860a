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
  s.texts = std::make_shared<const TextParameters>(TextParameters{{"f", {"s", "t"}}});
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
                    mistral = style_of(ToolStyle::kMistral), list = style_of(ToolStyle::kList),
                    xml = style_of(ToolStyle::kXml), deepseek = style_of(ToolStyle::kDeepSeek),
                    python = style_of(ToolStyle::kPython);
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
      {xml,
       "Well.\n<tool_call>\n<function=f>\n<parameter=s>\n a \"b\"\n\n</parameter>\n<parameter=n>\n[1, 2]\n"
       "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=g>\n</function>\n</tool_call> ok",
       "|Well.ok|f({\"s\": \" a \\\"b\\\"\\n\", \"n\": [1, 2]})g({})"},
      {xml,
       "<tool_call><function=f><parameter=s>12</parameter><parameter=a>12</parameter><parameter=b>True</"
       "parameter>"
       "<parameter=c>not json</parameter><parameter=d></parameter><parameter=t>x</param\n</parameters>"
       "</parameter></function></tool_call>",
       "||f({\"s\": \"12\", \"a\": 12, \"b\": true, \"c\": \"not json\", \"d\": \"\", "
       "\"t\": \"x</param\\n</parameters>\"})"},
      {xml,
       "<tool_call><function=f><parameter=s>a</parameter><parameter=s>b</parameter></function></tool_call>",
       "||f({\"s\": \"a\"})"},
      {xml, "<tool_call><function=f><parameter=s>\xC3\xA9\t\x01", "||f({\"s\": \"\xC3\xA9\\t\\u0001)"},
      {xml, "<tool_call>{\"name\":\"f\"}</tool_call>", "|<tool_call>{\"name\":\"f\"}</tool_call>|"},
      {xml, "<tool_call><function=", "|<tool_call><function=|"},
      {xml, "<tool_call><function=></function>", "|<tool_call><function=></function>|"},
      {deepseek,
       "Hi\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"x\": {\"y\": "
       "\"```\"}}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<"
       "｜tool▁call▁"
       "end｜><｜tool▁calls▁end｜>",
       "|Hi|f({\"x\": {\"y\": \"```\"}})g({})"},
      {deepseek,
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\":1}<｜tool▁call▁end｜><"
       "｜tool▁call▁begin｜>g"
       "<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>bye",
       "|bye|f({\"a\":1})g({})"},
      {deepseek, "<｜tool▁calls▁begin｜>none", "|<｜tool▁calls▁begin｜>none|"},
      {deepseek, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\":[1", "||f({\"a\":[1)"},
      {deepseek, "<｜tool", "|<｜tool|"},
      {python, " [f(a='x \\'y\\' \"z\"', b=-1.5, c = True), g()]",
       "||f({\"a\": \"x 'y' \\\"z\\\"\", \"b\": -1.5, \"c\": true})g({})"},
      {python, "[f(a=[1, 'b', None,], b={'k': [], \"l\": {}, 'm': [{'n': 0}]},)]",
       "||f({\"a\": [1, \"b\", null], \"b\": {\"k\": [], \"l\": {}, \"m\": [{\"n\": 0}]}})"},
      {python, "[f(s='\\n\\x41\\u00e9\\U0001F600\\d\\\n')] rest",
       "| rest|f({\"s\": \"\\nA\\u00e9\\ud83d\\ude00\\\\d\"})"},
      {python, "[f(x)]", "|[f(x)]|"},
      {python, "[1, 2]", "|[1, 2]|"},
      {python, "[see below](http://x)", "|[see below](http://x)|"},
      {python, "No list.", "|No list.|"},
      {python, "[f(a=1, a=2)]", "|2)]|f({\"a\": 1)"},
      {python, "[f(a='x", "||f({\"a\": \"x)"},
      {python, "[f(a=[1}", "||f({\"a\": [1)"},
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
                          "\"parameters\"",
                          "<function=f>",
                          "<parameter=s>",
                          "<parameter=n>",
                          "</parameter>",
                          "</function>",
                          "<｜tool▁calls▁begin｜>",
                          "<｜tool▁call▁begin｜>",
                          "<｜tool▁sep｜>",
                          "{}",
                          "[f(",
                          "a=",
                          "b = 'c\\n'",
                          ")",
                          "True",
                          "'",
                          "<｜tool▁call▁end｜>",
                          "<｜tool▁calls▁end｜>"};
  std::mt19937 random(11);
  for (int round = 0; round < 10000; ++round) {
    std::string text;
    for (size_t n = random() % 14; n > 0; --n) text += pieces[random() % std::size(pieces)];
    const AnswerStyle style = style_of(static_cast<ToolStyle>(round % 8), round / 8 % 2, round / 16 % 4 == 3);
    const std::string whole = parse(style, text, 1 << 20, random).summary();
    EXPECT_EQ(parse(style, text, 1, random).summary(), whole) << text;
    EXPECT_EQ(parse(style, text, 0, random).summary(), whole) << text;
    if (style.tools == ToolStyle::kNone && !style.reasoning && !style.in_reasoning) {
      EXPECT_EQ(whole, "|" + text + "|");
    }
  }
}

// Of a call in each form, split at every byte: the same, and what is given out early is never taken back.
TEST(AnswerParser, SplitAnywhere) {
  const std::pair<ToolStyle, const char*> answers[] = {
      {ToolStyle::kPython, " [f(a='\xC3\xA9\\u00e9', b={'c': [1.5, None]}), g()]"},
      {ToolStyle::kXml,
       "a <tool_call>\n<function=f>\n<parameter=s>\n\xC3\xA9\n<\n</parameter>\n<parameter=n>\n{\"a\": 1}\n"
       "</parameter>\n</function>\n</tool_call>\n"},
      {ToolStyle::kDeepSeek,
       "a<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": \"}\"}\n```"
       "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
      {ToolStyle::kMistral, "a[TOOL_CALLS]f[ARGS]{\"a\": \"}\"}[TOOL_CALLS]g[ARGS]{}"},
      {ToolStyle::kTagged, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"}};
  std::mt19937 random(3);
  for (const auto& [style, answer] : answers) {
    const std::string_view text = answer;
    const std::string whole = parse(style_of(style), text, text.size(), random).summary();
    EXPECT_NE(whole.find("f({"), std::string::npos) << whole;
    for (size_t first = 0; first <= text.size(); ++first)
      for (size_t second = first; second <= text.size(); second += 1 + second % 3) {
        AnswerParser parser(style_of(style));
        Parsed out;
        for (const std::string_view piece :
             {text.substr(0, first), text.substr(first, second - first), text.substr(second)}) {
          http::CompletionEvent event;
          parser.feed(piece, event);
          take(event, out);
        }
        http::CompletionEvent event;
        parser.finish(event);
        take(event, out);
        ASSERT_EQ(out.summary(), whole) << first << " " << second;
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
    const std::string xml = "<tool_call><function=" + name + "></function></tool_call>";
    const std::string deepseek = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>" + name + "<｜tool▁sep｜>{}";
    for (const size_t cut : {size_t{1}, size_t{5}, size_t{1000}}) {
      EXPECT_EQ(parse(style_of(ToolStyle::kXml), xml, cut, random).summary(),
                n <= longest ? "||" + name + "({})" : "|" + xml + "|");
      EXPECT_EQ(parse(style_of(ToolStyle::kDeepSeek), deepseek, cut, random).summary(),
                n <= longest ? "||" + name + "({})" : "|" + deepseek + "|");
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
