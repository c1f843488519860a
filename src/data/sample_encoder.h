// SampleEncoder: from what was said to token ids, and which of them carry loss.
//
// A chat goes through the model's chat template, and loss lies on the assistant's turns alone, each up to and
// with the special token that ends it. Where those turns lie is asked of the template: its {% generation %}
// blocks if it has them, else by rendering: a turn is what stands between the conversation before it, with
// the prompt for an answer, and the conversation up to it. Templates that show a turn otherwise once others
// follow (reasoning that is left out of earlier turns) make several samples of a conversation, one for each
// answer, as the model will meet them.
//
// Tokens are cut where turns are cut: the text before an answer has the ids it has as a prompt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/sample.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hoist::data {

struct TokenSample {
  std::vector<int32_t> ids;
  std::vector<uint8_t> trained;  // per id
  bool any_trained() const;
};

class SampleEncoder {
 public:
  // Both must outlive this; `chat` may be null: chats are then refused by name, with `no_chat` as the reason.
  // `end` ends texts and completions; -1: nothing does.
  SampleEncoder(const text::Tokenizer& tokenizer, const text::ChatTemplate* chat, int32_t end,
                std::string no_chat = {});

  // One sample, or several (see above). `source` leads Errors: a template that refuses the conversation, or
  // whose turns cannot be found.
  std::vector<TokenSample> encode(const Sample& sample, const std::string& source) const;

 private:
  struct Span {
    size_t begin, end;  // bytes
  };
  TokenSample cut(const std::string& text, const std::vector<Span>& trained) const;
  std::vector<TokenSample> encode_chat(const Sample& sample, const std::string& source) const;
  std::string render(const Sample& sample, size_t messages, bool prompt) const;
  std::vector<int32_t> tokens(std::string_view text, bool begins) const;

  const text::Tokenizer& tokenizer_;
  const text::ChatTemplate* chat_;
  int32_t end_;
  std::string no_chat_;
};

}  // namespace hoist::data
