// Filling in: prompts that ask a model for what lies between two texts, as its vocabulary marks them.
//
// Sources of the forms: Bavarian et al., "Efficient training of language models to fill in the middle"
// (2022); other files as Qwen2.5-Coder's report (2024) has them, and llama-server where there are no tokens
// for them; the tokens are those of Qwen, StarCoder, CodeGemma, Code Llama, DeepSeek and Codestral.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "http/completion_engine.h"
#include "text/tokenizer.h"

namespace hoist::serve {

struct InfillTokens {
  int32_t prefix = -1, suffix = -1, middle = -1;  // no middle: the suffix comes first, then the prefix
  int32_t repository = -1, file = -1;             // before the names of what it lies in; -1: there is none
  std::vector<int32_t> ends;                      // further tokens that end what is filled in
};

// None: the model has no such tokens.
std::optional<InfillTokens> find_infill_tokens(const text::Tokenizer& tokenizer);
// The prompt's ids: the tokenizer's special ones, of the other files what `room` tokens in all leave place
// for
// - their ends - and the text itself, however long it is.
std::vector<int32_t> infill_prompt(const text::Tokenizer& tokenizer, const InfillTokens& tokens,
                                   std::string_view before, std::string_view behind,
                                   std::span<const http::InfillFile> extra = {}, int64_t room = 0);

}  // namespace hoist::serve
