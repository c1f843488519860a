// Filling in: prompts that ask a model for what lies between two texts, as its vocabulary marks them.
//
// Source of the forms: Bavarian et al., "Efficient training of language models to fill in the middle" (2022);
// the tokens are those of Qwen, StarCoder, CodeGemma, Code Llama, DeepSeek and Codestral.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace hoist::serve {

struct InfillTokens {
  int32_t prefix = -1, suffix = -1, middle = -1;  // no middle: the suffix comes first, then the prefix
  std::vector<int32_t> ends;                      // further tokens that end what is filled in
};

// None: the model has no such tokens.
std::optional<InfillTokens> find_infill_tokens(const text::Tokenizer& tokenizer);
// The prompt's ids, the tokenizer's special ones in front.
std::vector<int32_t> infill_prompt(const text::Tokenizer& tokenizer, const InfillTokens& tokens,
                                   std::string_view before, std::string_view behind);

}  // namespace hoist::serve
