// Fuzzes the three grammar parsers and the matcher: the first byte picks the parser and a cap, the rest is
// the text.
//
// Whatever the text is, it is refused with hoist::Error or compiles to a grammar under which a generation of
// random allowed tokens, steps taken back among them, ends within its cap with a whole text.
// Using up the limits takes seconds under the sanitizers.
//
// Timeout: 20
//
// Links: text
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/grammar/matcher.h"

namespace {

using namespace hoist::text;

std::shared_ptr<const TokenTable> table() {
  static const auto made = [] {
    std::vector<std::string> tokens;
    for (int b = 0; b < 256; ++b) tokens.push_back(std::string(1, static_cast<char>(b)));
    for (const char* t : {"{\"", "\":", "\",\"", "\"}", "true", "null", "aa", "ab", "ba", "abc", "12", "00",
                          "\\u", "]]", "[[", "  "}) {
      tokens.push_back(t);
    }
    tokens.push_back("");
    const auto end = static_cast<int32_t>(tokens.size() - 1);
    return std::make_shared<const TokenTable>(std::move(tokens), std::vector<int32_t>{end});
  }();
  return made;
}

void generate(Grammar grammar, uint64_t seed) {
  const auto constraint = std::make_shared<const Constraint>(std::move(grammar), table());
  Matcher matcher(constraint);
  std::vector<uint64_t> words(table()->mask_words());
  const uint64_t cap = constraint->min_tokens() + seed % 32;
  if (cap > 2000) return;
  for (uint64_t left = cap; left > 0 && !matcher.finished();) {
    matcher.forced_bytes(16);
    matcher.mask(words, left);
    std::vector<int32_t> tokens;
    for (int32_t id = 0; id < static_cast<int32_t>(table()->size()); ++id) {
      if (words[static_cast<size_t>(id) / 64] >> (id % 64) & 1) tokens.push_back(id);
    }
    if (tokens.empty()) std::abort();
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    if (matcher.accepted() > 2 && (seed >> 60) == 0) {
      matcher.rollback(2);
      left += 2;
      continue;
    }
    if (!matcher.accept(tokens[(seed >> 33) % tokens.size()])) std::abort();
    --left;
    if (matcher.min_tokens() > left) std::abort();
  }
  if (!matcher.may_stop()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0] % 3) {
      case 0: generate(Grammar::from_ebnf(text), data[0]); break;
      case 1: generate(Grammar::from_regex(text), data[0]); break;
      default: generate(Grammar::from_json_schema(text, {data[0] % 4u}), data[0]);
    }
  } catch (const hoist::Error&) {
  }
  return 0;
}
