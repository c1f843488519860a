#include "serve/infill.h"

#include <algorithm>

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
    InfillTokens tokens{*prefix, *suffix, *middle, -1, -1, {*prefix, *suffix}};
    for (const char* name : {"<reponame>", "<repo_name>", "<|repo_name|>"})
      if (const auto id = tokenizer.token_to_id(name)) tokens.repository = *id;
    for (const char* name : {"<|file_separator|>", "<file_sep>", "<|file_sep|>"})
      if (const auto id = tokenizer.token_to_id(name)) tokens.file = *id;
    if (*middle >= 0) tokens.ends.push_back(*middle);
    for (const char* end : {"<|fim_pad|>", "<fim_pad>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>",
                            "<|endoftext|>", "▁<EOT>"})
      if (const auto id = tokenizer.token_to_id(end)) tokens.ends.push_back(*id);
    return tokens;
  }
  return std::nullopt;
}

std::vector<int32_t> infill_prompt(const text::Tokenizer& tokenizer, const InfillTokens& tokens,
                                   std::string_view before, std::string_view behind,
                                   std::span<const http::InfillFile> extra, int64_t room) {
  std::vector<int32_t> ids, text;
  // What the post-processor puts in front of any text; what it puts behind would end the prompt.
  const std::vector<int32_t> bare = tokenizer.encode("a", false), full = tokenizer.encode("a", true);
  for (size_t i = 0; i < full.size() && !bare.empty() && full[i] != bare[0]; ++i) ids.push_back(full[i]);
  const auto write = [&](std::vector<int32_t>& to, std::string_view what) {
    const std::vector<int32_t> some = tokenizer.encode(what, false);
    to.insert(to.end(), some.begin(), some.end());
  };
  const auto add = [&](int32_t mark, std::string_view what) {
    text.push_back(mark);
    write(text, what);
  };
  if (!extra.empty() && tokens.file >= 0) add(tokens.file, "filename\n");
  if (tokens.middle >= 0) {
    add(tokens.prefix, before);
    add(tokens.suffix, behind);
    text.push_back(tokens.middle);
  } else {
    add(tokens.suffix, behind);
    add(tokens.prefix, before);
  }
  std::vector<int32_t> files;
  if (!extra.empty() && tokens.repository >= 0) {
    files.push_back(tokens.repository);
    write(files, "project\n");
  }
  for (const http::InfillFile& file : extra) {
    if (tokens.file >= 0) {
      files.push_back(tokens.file);
      write(files, (file.name.empty() ? "file" : file.name) + "\n" + file.text);
    } else {
      write(files, "\n\n--- snippet ---\n\n" + file.text);
    }
  }
  const int64_t left = std::max<int64_t>(0, room - static_cast<int64_t>(ids.size() + text.size()));
  const auto kept = static_cast<std::ptrdiff_t>(std::min<int64_t>(left, static_cast<int64_t>(files.size())));
  ids.insert(ids.end(), files.end() - kept, files.end());
  ids.insert(ids.end(), text.begin(), text.end());
  return ids;
}

}  // namespace hoist::serve
