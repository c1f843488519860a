// SentencePiece's precompiled character map: a double-array trie of replacements, and their texts.
//
// Immutable and thread-safe; linear in the text. Every offset in the map is checked when it is followed, so
// that no map, however broken, is read out of bounds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text {

class Charsmap {
 public:
  // `base64`: bytes of the trie (u32), the trie's u32 units, then the texts, each closed by a zero byte; all
  // little-endian. Returns an empty string, or what is wrong. An empty map changes nothing.
  std::string load(std::string_view base64);

  // As the `tokenizers` package has it: a grapheme of fewer than 6 bytes is replaced whole when the map has
  // any prefix of it (the shortest counts), otherwise each of its characters by itself. At most `limit`
  // bytes; throws Error(kResourceExhausted) beyond.
  std::string apply(std::string_view text, size_t limit) const;

 private:
  // Whether a beginning of `chunk` is in the map; then its replacement.
  bool find(std::string_view chunk, std::string_view& replacement) const;

  std::vector<uint32_t> units_;
  std::string texts_;
};

}  // namespace hoist::text
