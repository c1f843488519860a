#include "serve/infill.h"

namespace hoist::serve {

std::optional<InfillTokens> find_infill_tokens(const text::Tokenizer& tokenizer) {
  struct Names {
    const char *prefix, *suffix, *middle;
  };
  constexpr Names kKnown[] = {{"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
                              {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
                              {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
                              {"▁<PRE>", "▁<SUF>", "▁<MID>"},
                              {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},
                              {"[PREFIX]", "[SUFFIX]", nullptr}};
  for (const Names& names : kKnown) {
    const auto prefix = tokenizer.token_to_id(names.prefix), suffix = tokenizer.token_to_id(names.suffix);
    const auto middle = names.middle ? tokenizer.token_to_id(names.middle) : std::optional<int32_t>(-1);
    if (!prefix || !suffix || !middle) continue;
    InfillTokens tokens{*prefix, *suffix, *middle, {*prefix, *suffix}};
    if (*middle >= 0) tokens.ends.push_back(*middle);
    for (const char* end : {"<|fim_pad|>", "<fim_pad>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>",
                            "<|endoftext|>", "▁<EOT>"})
      if (const auto id = tokenizer.token_to_id(end)) tokens.ends.push_back(*id);
    return tokens;
  }
  return std::nullopt;
}

std::vector<int32_t> infill_prompt(const text::Tokenizer& tokenizer, const InfillTokens& tokens,
                                   std::string_view before, std::string_view behind) {
  std::vector<int32_t> ids;
  // What the post-processor puts in front of any text; what it puts behind would end the prompt.
  const std::vector<int32_t> bare = tokenizer.encode("a", false), full = tokenizer.encode("a", true);
  for (size_t i = 0; i < full.size() && !bare.empty() && full[i] != bare[0]; ++i) ids.push_back(full[i]);
  const auto add = [&](int32_t mark, std::string_view text) {
    ids.push_back(mark);
    for (const int32_t id : tokenizer.encode(text, false)) ids.push_back(id);
  };
  if (tokens.middle >= 0) {
    add(tokens.prefix, before);
    add(tokens.suffix, behind);
    ids.push_back(tokens.middle);
  } else {
    add(tokens.suffix, behind);
    add(tokens.prefix, before);
  }
  return ids;
}

}  // namespace hoist::serve
