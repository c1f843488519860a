// AnswerParser: tells apart what a chat model writes - reasoning, text, tool calls - while it is written.
//
// Formats. Reasoning: <think>...</think> in front, opened by the model or by its template. Calls: Hermes and
// Qwen write <tool_call>{"name":..., "arguments":...}</tool_call>, each by itself; Llama 3 a bare
// {"name":..., "parameters":...} as the whole answer, several with ';' between; Mistral [TOOL_CALLS] and a
// list of such objects, or a name, [ARGS] and the arguments; Qwen3-Coder <tool_call> around a form
// (xml_call.h); DeepSeek calls between marks of its own (deepseek_call.h). Text that only looks like a call
// is given out as text. How the text was cut into pieces changes nothing but how the pieces of the answer are
// cut.
//
// White space around reasoning and around calls goes; other text is kept as it is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/completion_engine.h"
#include "serve/call_scanner.h"
#include "serve/deepseek_call.h"
#include "serve/python_call.h"
#include "serve/xml_call.h"

namespace hoist::serve {

enum class ToolStyle : uint8_t {
  kNone,
  kTagged,    // Hermes, Qwen
  kObject,    // Llama 3
  kMistral,   //
  kXml,       // Qwen3-Coder
  kDeepSeek,  //
  kPython,    // Llama 3.2 and 4, where the template shows it
  kList,  // a list of {"name", "arguments"} as the whole answer: what a forced call is where none is known
};

struct AnswerStyle {
  bool reasoning = false;     // the answer may begin with <think>
  bool in_reasoning = false;  // the prompt has opened it
  ToolStyle tools = ToolStyle::kNone;
  uint64_t id_seed = 0;                         // ids of calls are drawn from this
  std::shared_ptr<const TextParameters> texts;  // with kXml; may be null
};

class AnswerParser {
 public:
  explicit AnswerParser(const AnswerStyle& style);
  // Adds to reasoning, text and tool_calls of `event` what has become certain.
  void feed(std::string_view text, http::CompletionEvent& event);
  void finish(http::CompletionEvent& event);  // once, last
  bool called() const { return calls_ > 0; }

 private:
  enum class At : uint8_t {
    kStart,        // <think> may come
    kReasoning,    //
    kAnswer,       // text begins, or a call
    kText,         //
    kBeforeCall,   // behind a marker: a call, a list of calls, or a name
    kCall,         //
    kBetween,      // behind a call: another, or the end
    kMistralName,  // up to [ARGS] or '{'
    kMistralBody,  // the arguments of such a call, to the end of their object
    kPlain,        // no markers any more
  };
  bool step(bool last, http::CompletionEvent& event);
  bool in_reasoning(bool last, http::CompletionEvent& event);
  bool in_text(bool last, http::CompletionEvent& event);
  bool in_call(bool last, http::CompletionEvent& event);
  bool between(bool last);
  void begin_call(std::string name, http::CompletionEvent& event);
  void add_arguments(std::string text, http::CompletionEvent& event);
  void give_up(http::CompletionEvent& event);
  std::string_view marker() const;
  bool in_tags() const { return style_.tools == ToolStyle::kTagged || style_.tools == ToolStyle::kXml; }
  CallReader& reader();
  void next_reader();

  const AnswerStyle style_;
  At at_;
  bool trim_ = false;  // white space at the front of what is held goes
  bool list_ = false;  // calls stand in a list
  std::string held_;   // not yet certain
  std::string raw_;    // of a call that is not certain yet, with its marker
  CallScanner scanner_;
  XmlCall xml_;
  DeepSeekCall deepseek_;
  PythonCall python_;
  bool announced_ = false;  // the call under way was emitted
  int64_t calls_ = 0;
};

}  // namespace hoist::serve
