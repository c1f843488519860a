#include "decode/block_pool.h"

#include <algorithm>

#include "base/check.h"

namespace hoist::decode {

BlockPool::BlockPool(int64_t blocks, int64_t block_tokens) : block_tokens_(block_tokens) {
  HOIST_CHECK(blocks > 0 && blocks <= INT32_MAX && block_tokens > 0, "a pool of no blocks, or of too many");
  blocks_.resize(static_cast<size_t>(blocks));
  // Handed out lowest first, so that small loads stay in few pages.
  for (int64_t b = blocks; b-- > 0;) free_.push_back(static_cast<int32_t>(b));
}

uint64_t BlockPool::key(uint64_t scope, int32_t parent, std::span<const int32_t> tokens) const {
  uint64_t h = scope * 0x9e3779b97f4a7c15u + static_cast<uint32_t>(parent);
  for (int32_t t : tokens) {
    h = (h ^ static_cast<uint32_t>(t)) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return h;
}

int32_t BlockPool::find(uint64_t scope, int32_t parent, std::span<const int32_t> tokens) const {
  auto [it, end] = by_key_.equal_range(key(scope, parent, tokens));
  for (; it != end; ++it) {
    const Block& b = blocks_[static_cast<size_t>(it->second)];
    if (b.scope == scope && b.parent == parent && std::ranges::equal(b.tokens, tokens)) return it->second;
  }
  return kNone;
}

std::vector<int32_t>& BlockPool::siblings(uint64_t scope, int32_t parent) {
  return parent == kNone ? first_[scope] : blocks_[static_cast<size_t>(parent)].children;
}

void BlockPool::unlink(int32_t block) {
  Block& b = blocks_[static_cast<size_t>(block)];
  (b.older == kNone ? oldest_ : blocks_[static_cast<size_t>(b.older)].newer) = b.newer;
  (b.newer == kNone ? newest_ : blocks_[static_cast<size_t>(b.newer)].older) = b.older;
  b.older = b.newer = kNone;
  --kept_;
}

void BlockPool::hold(int32_t block) {
  Block& b = blocks_[static_cast<size_t>(block)];
  if (b.holders++ == 0) unlink(block);  // only known blocks are held anew
}

void BlockPool::release(int32_t block) {
  Block& b = blocks_[static_cast<size_t>(block)];
  HOIST_CHECK(b.holders > 0, "a block was freed twice");
  if (--b.holders > 0) return;
  if (!b.known) {
    free_.push_back(block);
    return;
  }
  b.older = newest_;
  (newest_ == kNone ? oldest_ : blocks_[static_cast<size_t>(newest_)].newer) = block;
  newest_ = block;
  ++kept_;
}

// The oldest kept block becomes free. Nothing known follows it: who held its children held it as well, and
// let go of them first.
void BlockPool::forget(int32_t block) {
  Block& b = blocks_[static_cast<size_t>(block)];
  HOIST_CHECK(b.children.empty(), "the beginning of a prefix would be forgotten before its end");
  unlink(block);
  auto [it, end] = by_key_.equal_range(key(b.scope, b.parent, b.tokens));
  while (it != end && it->second != block) ++it;
  HOIST_CHECK(it != end, "a known block is not in the index");
  by_key_.erase(it);
  std::vector<int32_t>& row = siblings(b.scope, b.parent);
  row.erase(std::find(row.begin(), row.end(), block));
  if (b.parent == kNone && row.empty()) first_.erase(b.scope);
  b.known = false;
  b.tokens.clear();
  free_.push_back(block);
}

bool BlockPool::take(int64_t count, std::vector<int32_t>& into) {
  if (count > available()) return false;
  for (int64_t i = 0; i < count; ++i) {
    if (free_.empty()) forget(oldest_);
    into.push_back(free_.back());
    blocks_[static_cast<size_t>(free_.back())].holders = 1;
    free_.pop_back();
  }
  return true;
}

void BlockPool::give(std::vector<int32_t>& blocks) {
  while (!blocks.empty()) {
    release(blocks.back());
    blocks.pop_back();
  }
}

int64_t BlockPool::match(uint64_t scope, std::span<const int32_t> tokens, std::vector<int32_t>& into) {
  const size_t size = static_cast<size_t>(block_tokens_);
  int32_t parent = kNone;
  size_t at = 0;
  for (; at + size <= tokens.size(); at += size) {
    const int32_t next = find(scope, parent, tokens.subspan(at, size));
    if (next == kNone) break;
    hold(next);
    into.push_back(next);
    parent = next;
  }
  return static_cast<int64_t>(at);
}

BlockPool::Beginning BlockPool::beginning(uint64_t scope, std::span<const int32_t> held,
                                          std::span<const int32_t> tokens) const {
  const std::vector<int32_t>* row = nullptr;
  if (!held.empty()) {
    row = &blocks_[static_cast<size_t>(held.back())].children;
  } else if (auto it = first_.find(scope); it != first_.end()) {
    row = &it->second;
  }
  Beginning best;
  if (!row) return best;
  constexpr size_t kLooked = 64;  // the most recent: a common beginning may have thousands of ends
  const size_t skip = row->size() > kLooked ? row->size() - kLooked : 0;
  for (size_t i = row->size(); i-- > skip;) {
    const std::vector<int32_t>& t = blocks_[static_cast<size_t>((*row)[i])].tokens;
    const auto differs = std::mismatch(t.begin(), t.end(), tokens.begin(), tokens.end()).first;
    const int64_t same = differs - t.begin();
    if (same > best.tokens) best = {(*row)[i], same};
  }
  return best;
}

void BlockPool::publish(uint64_t scope, std::span<const int32_t> tokens, std::span<int32_t> blocks) {
  const size_t size = static_cast<size_t>(block_tokens_);
  HOIST_CHECK(tokens.size() >= blocks.size() * size, "a block that is not full cannot be known");
  int32_t parent = kNone;
  for (size_t i = 0; i < blocks.size(); ++i) {
    Block& own = blocks_[static_cast<size_t>(blocks[i])];
    if (!own.known) {
      const auto part = tokens.subspan(i * size, size);
      if (const int32_t other = find(scope, parent, part); other != kNone) {
        hold(other);
        release(blocks[i]);
        blocks[i] = other;
      } else {
        own.known = true;
        own.parent = parent;
        own.scope = scope;
        own.tokens.assign(part.begin(), part.end());
        by_key_.emplace(key(scope, parent, part), blocks[i]);
        siblings(scope, parent).push_back(blocks[i]);
      }
    }
    parent = blocks[i];
  }
}

}  // namespace hoist::decode
