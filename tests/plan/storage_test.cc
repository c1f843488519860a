// Offsets in the arena: what lives at the same time never overlaps.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "plan/compile.h"

namespace hoist::plan {
namespace {

struct Draw {
  CounterRng rng;
  uint64_t at = 0;
  int64_t below(int64_t n) { return static_cast<int64_t>(rng.below(at++, static_cast<uint64_t>(n))); }
};

std::vector<Storage> draw_storages(uint64_t seed) {
  Draw draw{CounterRng(seed, 1)};
  std::vector<Storage> out(static_cast<size_t>(1 + draw.below(60)));
  const int64_t instructions = 1 + draw.below(40), largest = int64_t{1} << draw.below(16);
  for (Storage& s : out) {
    s.bytes = draw.below(5) ? 1 + draw.below(largest) : 0;
    s.first_use = static_cast<int>(draw.below(instructions));
    s.last_use = s.first_use + static_cast<int>(draw.below(draw.below(3) ? 4 : instructions));
    s.in_arena = draw.below(8) != 0;
  }
  return out;
}

bool lives_with(const Storage& a, const Storage& b) {
  return a.first_use <= b.last_use && b.first_use <= a.last_use;
}
bool overlaps(const Storage& a, const Storage& b) {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

TEST(AssignOffsets, NoTwoLivingStoragesOverlap) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::vector<Storage> s = draw_storages(seed), apart = s;
    const int64_t size = assign_offsets(s, true), size_apart = assign_offsets(apart, false);
    int64_t most = 0, sum = 0;  // of bytes that live at once; of all
    for (size_t i = 0; i < s.size(); ++i) {
      if (!s[i].in_arena) {
        EXPECT_EQ(s[i].offset, -1);
        continue;
      }
      EXPECT_EQ(s[i].offset % 64, 0);
      EXPECT_GE(s[i].offset, 0);
      EXPECT_LE(s[i].offset + s[i].bytes, size);
      EXPECT_LE(apart[i].offset + apart[i].bytes, size_apart);
      sum += s[i].bytes;
      int64_t live = 0;
      for (size_t k = 0; k < s.size(); ++k) {
        if (!s[k].in_arena) continue;
        if (s[k].first_use <= s[i].first_use && s[i].first_use <= s[k].last_use) live += s[k].bytes;
        if (k <= i) continue;
        EXPECT_FALSE(lives_with(s[i], s[k]) && overlaps(s[i], s[k])) << i << " and " << k;
        EXPECT_FALSE(overlaps(apart[i], apart[k])) << i << " and " << k << " without reuse";
      }
      most = std::max(most, live);
    }
    EXPECT_GE(size, most);
    EXPECT_GE(size_apart, sum);
    EXPECT_LE(size, size_apart);
    // Deterministic.
    std::vector<Storage> again = draw_storages(seed);
    EXPECT_EQ(assign_offsets(again, true), size);
    for (size_t i = 0; i < s.size(); ++i) EXPECT_EQ(again[i].offset, s[i].offset);
  }
}

// A chain of values of one size needs room for two; of any other number of values at once, for that many.
TEST(AssignOffsets, EqualSizesPackWithoutLoss) {
  for (int alive : {1, 2, 3, 7}) {
    std::vector<Storage> s;
    for (int i = 0; i < 50; ++i) s.push_back({1000, i, i + alive - 1});
    EXPECT_EQ(assign_offsets(s, true), alive * 1024);
  }
}

TEST(AssignOffsets, NothingNeedsNothing) {
  std::vector<Storage> none;
  EXPECT_EQ(assign_offsets(none, true), 0);
}

}  // namespace
}  // namespace hoist::plan
