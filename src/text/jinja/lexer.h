// Cuts a template into text and the tokens of its tags, and settles all of the whitespace control: what `-`
// and
// `+` in tags say, trim_blocks and lstrip_blocks, the newline at the end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text::jinja {

enum class TokenKind : uint8_t {
  kText,        // between tags; `text` is what to print
  kBlockBegin,  // {%
  kBlockEnd,
  kOutputBegin,  // {{
  kOutputEnd,
  kName,
  kString,  // `text` has its escapes resolved
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;
};

// The last token is kEnd. Throws Error(kCorrupt) that begins with `source` and the line.
std::vector<Token> tokenize(std::string_view text, const std::string& source);

}  // namespace hoist::text::jinja
