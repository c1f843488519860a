// A vocabulary as constrained generation sees it: the bytes of each token, in a trie.
//
// The trie lies in preorder in flat arrays: the subtree of node i is [i, skip(i)), and node i + 1 is its
// first child if it has any. Built once per tokenizer; immutable, any number of threads may read it. Memory:
// about 30 bytes per byte of distinct token prefix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text {

class TokenTable {
 public:
  static constexpr size_t kMaxTokenBytes = 1024;  // longer tokens are never allowed
  static constexpr size_t kMaxTokens = size_t{1} << 24;

  // `bytes[id]` is what token id writes. Tokens that write nothing, special ones and holes are "": they are
  // never allowed. `end_tokens` end a text and are allowed where it may end. Throws Error for ids out of
  // range.
  TokenTable(std::vector<std::string> bytes, std::vector<int32_t> end_tokens);

  size_t size() const { return bytes_.size(); }  // number of ids, and bits of a mask
  size_t mask_words() const {
    return (bytes_.size() + 63) / 64;
  }  // 64-bit words of a mask; id i is bit i % 64
  std::string_view bytes(int32_t id) const { return bytes_[static_cast<size_t>(id)]; }
  const std::vector<int32_t>& end_tokens() const { return end_tokens_; }
  bool is_end(int32_t id) const;
  bool writes_byte(uint8_t byte) const { return single_[byte]; }  // some token is exactly this byte
  bool writes_every_byte() const { return every_byte_; }

  // The trie. `depth` is the length of the node's text.
  size_t nodes() const { return byte_.size(); }
  uint8_t node_byte(size_t node) const { return byte_[node]; }
  uint32_t skip(size_t node) const { return skip_[node]; }
  uint16_t depth(size_t node) const { return depth_[node]; }
  std::span<const int32_t> tokens(size_t node) const {  // exactly this node's text
    return {sorted_.data() + first_[node], sorted_.data() + first_[node + 1]};
  }
  bool has_tokens(size_t node) const { return first_[node] != first_[node + 1]; }

 private:
  std::vector<std::string> bytes_;
  std::vector<int32_t> end_tokens_;
  std::vector<uint8_t> byte_;
  std::vector<uint32_t> skip_, first_;
  std::vector<uint16_t> depth_;
  std::vector<int32_t> sorted_;  // ids by their bytes
  bool single_[256] = {};
  bool every_byte_ = false;
};

}  // namespace hoist::text
