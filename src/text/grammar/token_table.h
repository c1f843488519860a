// A vocabulary as constrained generation sees it: the bytes of each token, in a trie.
//
// The trie lies in preorder in one array: the subtree of node i is [i, node(i).skip), and node i + 1 is its
// first child if it has any. Built once per tokenizer; immutable, any number of threads may read it. Memory:
// about 16 bytes per distinct token prefix, and the tokens' own.
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
  struct Node {
    uint32_t skip, first;     // `first` of its tokens in sorted order; the next node's is their end
    uint16_t depth, deepest;  // its own, and the largest in its subtree
    uint8_t byte;
  };
  size_t nodes() const { return nodes_.size() - 1; }
  const Node& node(size_t i) const { return nodes_[i]; }
  uint32_t longest() const { return by_length_.empty() ? 0 : length(by_length_[0]); }  // token, in bytes
  std::span<const int32_t> longer_than(uint32_t bytes) const;                          // in no order
  std::span<const int32_t> tokens(size_t node) const {  // exactly this node's text
    return {sorted_.data() + nodes_[node].first, sorted_.data() + nodes_[node + 1].first};
  }
  bool has_tokens(size_t node) const { return nodes_[node].first != nodes_[node + 1].first; }

 private:
  uint32_t length(int32_t id) const { return static_cast<uint32_t>(bytes(id).size()); }

  std::vector<std::string> bytes_;
  std::vector<int32_t> end_tokens_;
  std::vector<Node> nodes_;         // and one behind the last
  std::vector<int32_t> sorted_;     // ids by their bytes
  std::vector<int32_t> by_length_;  // the longest first
  bool single_[256] = {};
  bool every_byte_ = false;
};

}  // namespace hoist::text
