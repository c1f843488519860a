// BlockPool: which blocks of the KV pools are in use, and which hold a prefix that somebody may use again.
//
// A full block is known by its tokens, the block before it and a scope (a tenant, an adapter): the same
// prefix is kept once, and whoever begins with it holds it too (prefix reuse; Kwon et al., PagedAttention,
// 2023, section 4.4; Zheng et al., SGLang, 2024, RadixAttention). Tokens are compared, not only their hashes:
// a prefix is never mistaken for another. Known blocks that nobody holds are kept until room is needed, least
// recently used first.
//
// Blocks of a sequence are given back last first, so that of a prefix the end is always forgotten before its
// beginning. Single-threaded; operations are O(1) per block, but for `beginning`.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace hoist::decode {

class BlockPool {
 public:
  // At most 2^31 - 1 blocks of `block_tokens` tokens each.
  BlockPool(int64_t blocks, int64_t block_tokens);

  int64_t total() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t available() const { return static_cast<int64_t>(free_.size()) + kept_; }  // what take() could give
  int64_t kept() const { return kept_; }  // known, and held by nobody

  // Appends `count` blocks that hold nothing known. False, and nothing taken, when fewer are available.
  bool take(int64_t count, std::vector<int32_t>& into);
  // Lets go of a sequence's blocks and empties the list.
  void give(std::vector<int32_t>& blocks);

  // Appends the known blocks that `tokens` begins with, each held once more. Returns the tokens they hold.
  int64_t match(uint64_t scope, std::span<const int32_t> tokens, std::vector<int32_t>& into);
  // A known block after `held` (blocks that match() gave) that begins as `tokens` does, if only for a few of
  // them.
  struct Beginning {
    int32_t block = -1;
    int64_t tokens = 0;
  };
  Beginning beginning(uint64_t scope, std::span<const int32_t> held, std::span<const int32_t> tokens) const;
  // Makes full blocks of a sequence known: blocks[i] holds tokens[i * block_tokens ...]. Where a prefix is
  // known already, the sequence's own block is given back and replaced by the known one, which holds the same
  // bits.
  void publish(uint64_t scope, std::span<const int32_t> tokens, std::span<int32_t> blocks);

 private:
  static constexpr int32_t kNone = -1;
  struct Block {
    int32_t holders = 0;
    bool known = false;
    int32_t parent = kNone;  // kNone: the first of its scope
    uint64_t scope = 0;
    std::vector<int32_t> tokens;    // if known
    std::vector<int32_t> children;  // known blocks that follow this one
    int32_t older = kNone, newer = kNone;
  };
  uint64_t key(uint64_t scope, int32_t parent, std::span<const int32_t> tokens) const;
  int32_t find(uint64_t scope, int32_t parent, std::span<const int32_t> tokens) const;
  std::vector<int32_t>& siblings(uint64_t scope, int32_t parent);
  void hold(int32_t block);
  void release(int32_t block);
  void forget(int32_t block);
  void unlink(int32_t block);

  int64_t block_tokens_;
  std::vector<Block> blocks_;
  std::vector<int32_t> free_;
  std::unordered_multimap<uint64_t, int32_t> by_key_;
  std::unordered_map<uint64_t, std::vector<int32_t>> first_;  // by scope
  int32_t oldest_ = kNone, newest_ = kNone;                   // of those kept
  int64_t kept_ = 0;
};

}  // namespace hoist::decode
