// A byte trie over the tokens of a vocabulary: every token that text begins with, shortest first, in one
// walk.
//
// Filled once, then read-only and thread-safe. A walk costs one probe per byte of the longest match.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/flat_map.h"

namespace hoist::text {

class TokenTrie {
 public:
  static constexpr uint32_t kRoot = 0, kNowhere = 0xFFFFFFFF;

  void add(std::string_view token, int32_t id) {
    uint32_t node = kRoot;
    for (const char byte : token) {
      const uint64_t key = key_of(node, byte);
      if (const uint64_t* child = children_.find(key)) {
        node = static_cast<uint32_t>(*child);
      } else {
        const auto fresh = static_cast<uint32_t>(ids_.size());
        children_.insert(key, fresh);
        ids_.push_back(-1);
        node = fresh;
      }
    }
    ids_[node] = id;
  }

  // The node that `byte` leads to, or kNowhere.
  uint32_t step(uint32_t node, char byte) const {
    const uint64_t* child = children_.find(key_of(node, byte));
    return child == nullptr ? kNowhere : static_cast<uint32_t>(*child);
  }
  // Where `text` leads from `node`.
  uint32_t walk(uint32_t node, std::string_view text) const {
    for (size_t i = 0; i < text.size() && node != kNowhere; ++i) node = step(node, text[i]);
    return node;
  }
  int32_t id(uint32_t node) const { return ids_[node]; }  // of the token that ends here; -1: none does

 private:
  static uint64_t key_of(uint32_t node, char byte) {
    return static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(byte);
  }
  FlatMap children_;
  std::vector<int32_t> ids_ = {-1};
};

}  // namespace hoist::text
