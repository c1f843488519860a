// The pool of KV blocks against a list of prefixes: nothing is lost, nothing is shared that differs.
#include "decode/block_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace hoist::decode {
namespace {

using Tokens = std::vector<int32_t>;

TEST(BlockPool, TakesAllOrNothing) {
  BlockPool pool(5, 4);
  std::vector<int32_t> a, b;
  EXPECT_TRUE(pool.take(3, a));
  EXPECT_FALSE(pool.take(3, b));
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(pool.available(), 2);
  pool.give(a);
  EXPECT_EQ(pool.available(), 5);
  EXPECT_TRUE(a.empty());
}

TEST(BlockPool, APrefixIsFoundAgainByItsTokensAndScope) {
  BlockPool pool(8, 2);
  const Tokens tokens{1, 2, 3, 4, 5, 6};
  std::vector<int32_t> mine;
  ASSERT_TRUE(pool.take(3, mine));
  pool.publish(7, tokens, mine);
  const std::vector<int32_t> blocks = mine;
  std::vector<int32_t> found;
  EXPECT_EQ(pool.match(7, Tokens{1, 2, 3, 4, 9, 9}, found), 4);
  EXPECT_EQ(found, std::vector<int32_t>(blocks.begin(), blocks.begin() + 2));
  EXPECT_EQ(pool.beginning(7, found, Tokens{5, 9}).block, blocks[2]);
  EXPECT_EQ(pool.beginning(7, found, Tokens{5, 9}).tokens, 1);
  EXPECT_EQ(pool.beginning(7, found, Tokens{9, 5}).tokens, 0);
  pool.give(found);
  EXPECT_EQ(pool.match(8, tokens, found), 0) << "another scope";
  EXPECT_EQ(pool.match(7, Tokens{3, 4, 5, 6}, found), 0) << "the middle is no beginning";
  pool.give(mine);
  EXPECT_EQ(pool.kept(), 3);
  EXPECT_EQ(pool.match(7, tokens, found), 6) << "kept after its sequence has ended";
  pool.give(found);
}

TEST(BlockPool, TheEndOfAPrefixIsForgottenFirst) {
  BlockPool pool(4, 1);
  std::vector<int32_t> mine, other, found;
  ASSERT_TRUE(pool.take(3, mine));
  pool.publish(0, Tokens{1, 2, 3}, mine);
  pool.give(mine);
  ASSERT_TRUE(pool.take(2, other));  // one free block and one kept
  EXPECT_EQ(pool.match(0, Tokens{1, 2, 3}, found), 2);
  pool.give(found);
  pool.give(other);
}

TEST(BlockPool, TheSamePrefixIsKeptOnce) {
  BlockPool pool(6, 1);
  std::vector<int32_t> a, b;
  ASSERT_TRUE(pool.take(2, a));
  ASSERT_TRUE(pool.take(3, b));
  pool.publish(0, Tokens{1, 2}, a);
  pool.publish(0, Tokens{1, 2, 3}, b);
  EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
  EXPECT_EQ(pool.available(), 3);
  pool.give(a);
  EXPECT_EQ(pool.available(), 3) << "the other sequence still holds them";
  pool.give(b);
  EXPECT_EQ(pool.available(), 6);
}

// Random sequences that grow, end and come again. A block's content is what its last writer wrote; every
// match must hold exactly the tokens that were asked for.
TEST(BlockPool, RandomSequencesNeverSeeOthersTokens) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
    const int64_t size = 1 + below(3), total = 6 + below(20);
    BlockPool pool(total, size);
    std::map<int32_t, Tokens> content;  // of each block, with all that came before it, and the scope
    struct Sequence {
      uint64_t scope;
      Tokens tokens;
      std::vector<int32_t> blocks;
    };
    std::vector<Sequence> running;
    auto prefix = [&](const Sequence& s, size_t blocks) {
      Tokens t(s.tokens.begin(),
               s.tokens.begin() + static_cast<std::ptrdiff_t>(blocks * static_cast<size_t>(size)));
      t.push_back(static_cast<int32_t>(s.scope) + 1000);
      return t;
    };
    for (int step = 0; step < 3000; ++step) {
      if (below(3) && running.size() < 5) {
        Sequence s{static_cast<uint64_t>(below(2)), {}, {}};
        for (int n = below(12) + 1; n > 0; --n) s.tokens.push_back(below(2));
        const int64_t known = pool.match(s.scope, s.tokens, s.blocks);
        EXPECT_EQ(known, static_cast<int64_t>(s.blocks.size()) * size);
        for (size_t i = 0; i < s.blocks.size(); ++i) ASSERT_EQ(content[s.blocks[i]], prefix(s, i + 1));
        const size_t had = s.blocks.size(),
                     all = (s.tokens.size() + static_cast<size_t>(size) - 1) / static_cast<size_t>(size);
        if (!pool.take(static_cast<int64_t>(all - had), s.blocks)) {
          pool.give(s.blocks);
          continue;
        }
        for (size_t i = had; i < all; ++i) content[s.blocks[i]].clear();
        const size_t full = s.tokens.size() / static_cast<size_t>(size);
        for (size_t i = had; i < full; ++i) content[s.blocks[i]] = prefix(s, i + 1);
        pool.publish(s.scope, s.tokens, std::span(s.blocks).first(full));
        for (size_t i = 0; i < full; ++i) ASSERT_EQ(content[s.blocks[i]], prefix(s, i + 1));
        running.push_back(std::move(s));
      } else if (!running.empty()) {
        const size_t at = static_cast<size_t>(below(static_cast<int>(running.size())));
        pool.give(running[at].blocks);
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
      }
      std::set<int32_t> held;
      for (const Sequence& s : running) held.insert(s.blocks.begin(), s.blocks.end());
      ASSERT_EQ(pool.available(), total - static_cast<int64_t>(held.size()));
    }
    for (Sequence& s : running) pool.give(s.blocks);
    EXPECT_EQ(pool.available(), total);
    std::vector<int32_t> everything;
    EXPECT_TRUE(pool.take(total, everything)) << "what is kept can be had again";
    EXPECT_EQ(pool.kept(), 0);
    pool.give(everything);
  }
}

}  // namespace
}  // namespace hoist::decode
