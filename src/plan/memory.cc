// Assigns arena offsets by liveness.
#include <algorithm>
#include <map>

#include "plan/compile.h"

namespace hoist::plan {

namespace {

constexpr int64_t kAlign = 64;
int64_t align_up(int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

// Free ranges of an address space that grows at its end.
class FreeList {
 public:
  int64_t take(int64_t bytes) {
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it)
      if (it->second >= bytes && (best == free_.end() || it->second < best->second)) best = it;
    if (best == free_.end()) {
      // Grow; a free range at the very end is extended rather than left behind.
      int64_t offset = end_;
      if (!free_.empty()) {
        auto last = std::prev(free_.end());
        if (last->first + last->second == end_) {
          offset = last->first;
          free_.erase(last);
        }
      }
      end_ = offset + bytes;
      return offset;
    }
    int64_t offset = best->first, left = best->second - bytes;
    free_.erase(best);
    if (left) free_[offset + bytes] = left;
    return offset;
  }
  void give(int64_t offset, int64_t bytes) {
    auto it = free_.emplace(offset, bytes).first;
    auto next = std::next(it);
    if (next != free_.end() && it->first + it->second == next->first) {
      it->second += next->second;
      free_.erase(next);
    }
    if (it != free_.begin()) {
      auto before = std::prev(it);
      if (before->first + before->second == it->first) {
        before->second += it->second;
        free_.erase(it);
      }
    }
  }
  int64_t end() const { return end_; }

 private:
  std::map<int64_t, int64_t> free_;
  int64_t end_ = 0;
};

}  // namespace

int64_t assign_offsets(std::vector<Storage>& storages, bool reuse) {
  std::vector<int> order;
  for (size_t i = 0; i < storages.size(); ++i)
    if (storages[i].in_arena) order.push_back(static_cast<int>(i));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const Storage &x = storages[static_cast<size_t>(a)], &y = storages[static_cast<size_t>(b)];
    return x.first_use != y.first_use ? x.first_use < y.first_use : x.bytes > y.bytes;
  });
  FreeList space;
  std::multimap<int, int> dying;  // last use -> storage
  for (int i : order) {
    Storage& s = storages[static_cast<size_t>(i)];
    int64_t bytes = align_up(std::max<int64_t>(s.bytes, 1));
    while (reuse && !dying.empty() && dying.begin()->first < s.first_use) {
      const Storage& dead = storages[static_cast<size_t>(dying.begin()->second)];
      space.give(dead.offset, align_up(std::max<int64_t>(dead.bytes, 1)));
      dying.erase(dying.begin());
    }
    s.offset = space.take(bytes);
    dying.emplace(s.last_use, i);
  }
  return space.end();
}

}  // namespace hoist::plan
