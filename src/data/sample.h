// Samples for fine-tuning: from a line of JSON in one of the usual forms to what was said by whom.
//
//   text               {"text"}
//   prompt_completion  {"prompt", "completion"}: two strings, or two lists of messages
//   messages           {"messages": [{"role", "content", ...}], "tools"?}: the chat APIs' own; "weight": 0 in
//   a
//                      message of the assistant's takes its loss away
//   sharegpt           {"conversations": [{"from": human|user|gpt|assistant|system|tool|observation,
//   "value"}],
//                      "system"?, "tools"?}
//   alpaca             {"instruction", "input"?, "output", "system"?, "history"?: [[instruction, output],
//   ...]}
//
// Keys that are not named here are ignored: data sets carry ids and scores.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja.h"

namespace hoist::data {

enum class SampleFormat : uint8_t { kAuto, kText, kPromptCompletion, kMessages, kShareGpt, kAlpaca };
// "auto", "text", "prompt_completion", "messages", "sharegpt", "alpaca"; throws Error for another name.
SampleFormat parse_sample_format(std::string_view name);

struct Sample {
  enum class Kind : uint8_t {
    kText,        // `text`: loss on all of it
    kCompletion,  // `prompt`, then `text`: loss on the text
    kChat,        // `messages`: loss on messages where `trained`
  };
  Kind kind = Kind::kText;
  std::string prompt, text;
  std::vector<text::jinja::Value> messages;  // dicts as a chat template takes them
  std::vector<uint8_t> trained;              // per message; 1 only for the assistant's
  text::jinja::Value tools = text::jinja::Value::none();
};

constexpr size_t kMaxMessages = 4096;  // of a conversation

// `source` ("file.jsonl:12") leads every Error. kAuto tells the form by its keys. `text_field` is the key of
// the text form.
Sample parse_sample(std::string_view json, const std::string& source,
                    SampleFormat format = SampleFormat::kAuto, const std::string& text_field = "text");

}  // namespace hoist::data
