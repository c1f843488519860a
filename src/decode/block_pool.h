// BlockPool: which blocks of the KV pools are free. Single-threaded, all operations O(1) per block.
#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"

namespace hoist::decode {

class BlockPool {
 public:
  explicit BlockPool(int64_t blocks) {
    // Handed out lowest first, so that small loads stay in few pages.
    for (int64_t b = blocks; b-- > 0;) free_.push_back(static_cast<int32_t>(b));
    total_ = blocks;
  }
  int64_t total() const { return total_; }
  int64_t available() const { return static_cast<int64_t>(free_.size()); }
  // False, and nothing taken, when fewer than `count` are free.
  bool take(int64_t count, std::vector<int32_t>& into) {
    if (count > available()) return false;
    for (int64_t i = 0; i < count; ++i) {
      into.push_back(free_.back());
      free_.pop_back();
    }
    return true;
  }
  void give(std::vector<int32_t>& blocks) {
    while (!blocks.empty()) {
      free_.push_back(blocks.back());
      blocks.pop_back();
    }
    HOIST_CHECK(available() <= total_, "a block was freed twice");
  }

 private:
  std::vector<int32_t> free_;
  int64_t total_ = 0;
};

}  // namespace hoist::decode
