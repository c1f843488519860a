// Fuzzes chat templates: the input is a template, rendered with a fixed conversation.
//
// Whatever the bytes are, parsing and rendering either finish within their caps or throw hoist::Error;
// rendering twice gives the same.
// Links: text
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/jinja.h"
#include "text/utf8.h"

namespace {

using hoist::text::jinja::RenderOptions;
using hoist::text::jinja::Template;
using hoist::text::jinja::Value;

const Value& variables() {
  static const Value value = Value::from_json(
      R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Zw\u00f6lf \ud83d\ude42\n"},
          {"role": "assistant", "content": "<think>a</think>b", "tool_calls": [{"type": "function",
            "function": {"name": "f", "arguments": {"x": 1, "y": [1.5, null, true]}}}]},
          {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}],
          "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
          "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true,
          "s": "Hello, World", "w": " two  words \n", "l": [3, 1, 2], "m": ["b", "A"], "p": [[1, "x"], [2, "y"]],
          "d": {"b": 1, "a": {"k": [1]}}, "i": 3, "j": -7, "f": 2.5, "t": true, "n": null})",
      "variables");
  return value;
}

std::string render(const Template& parsed) {
  RenderOptions options;
  // Small, so that an input that uses them up still ends soon; the depth is the real one, for the stack's
  // sake.
  options.limits.max_steps = 100'000;
  options.limits.max_output_bytes = 1 << 20;
  options.limits.max_memory_bytes = 4 << 20;
  try {
    return parsed.render(variables(), options).text;
  } catch (const hoist::Error& error) {
    return error.what();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Template parsed = Template::parse(text, "template");
    const std::string first = render(parsed);
    if (!hoist::text::is_utf8(first)) std::abort();
    if (first != render(parsed)) std::abort();
  } catch (const hoist::Error& error) {
    if (!hoist::text::is_utf8(error.what())) std::abort();
  }
  return 0;
}
