// The engine: what sequences share costs once and changes nothing, and every block comes back.
#include <gtest/gtest.h>

#include "engine_session.h"

namespace hoist::decode {
namespace {

TEST(PrefixReuse, ASharedBeginningIsComputedOnce) {
  for (const char* name : {"llama3", "qwen2"}) {
    const Model m = fixture(name);
    std::mt19937 random(1);
    const Tokens shared = some(random, 43, m.config.vocab);  // ten blocks and three tokens
    Session r(m, small(8, 64, 8 * 64));
    std::map<uint64_t, Tokens> prompts;
    for (int i = 0; i < 8; ++i) {
      Tokens p = shared;
      p.push_back(i);
      prompts[r.add(p, 4)] = p;
    }
    r.finish();
    // One beginning, eight ends, and what was begun beside it before it was known.
    EXPECT_LE(r.engine.counters().prompt_tokens, 43 + 8 + 3 * 7) << name;
    EXPECT_EQ(r.engine.counters().prompt_tokens + r.engine.counters().reused_tokens, 8 * 44);
    for (const auto& [id, prompt] : prompts) expect_same(*r.said[id], alone(m, prompt, 4));
    // Later, with everything idle: nothing but the last token.
    const int64_t before = r.engine.counters().prompt_tokens;
    const uint64_t id = r.add(prompts.begin()->second, 4);
    r.finish();
    EXPECT_EQ(r.engine.counters().prompt_tokens - before, 1);
    EXPECT_EQ(r.said[id]->reused, 43);
    expect_same(*r.said[id], *r.said[prompts.begin()->first]);
    EXPECT_EQ(r.engine.free_blocks(), r.engine.total_blocks());
  }
}

TEST(PrefixReuse, ScopesShareNothing) {
  const Model m = fixture("llama3");
  std::mt19937 random(2);
  const Tokens prompt = some(random, 40, m.config.vocab);
  Session r(m, small(2, 64, 128));
  r.add(prompt, 2, 1);
  r.finish();
  r.add(prompt, 2, 2);
  r.finish();
  EXPECT_EQ(r.engine.counters().reused_tokens, 0);
  r.add(prompt, 2, 1);
  r.finish();
  EXPECT_EQ(r.engine.counters().reused_tokens, 39);
}

TEST(PrefixReuse, RandomLoadsSayWhatTheySayAlone) {
  for (const char* name : {"llama3", "qwen3"}) {
    const Model m = fixture(name);
    std::mt19937 random(3);
    auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
    std::vector<Tokens> beginnings;
    for (int i = 0; i < 3; ++i) beginnings.push_back(some(random, 10 + 8 * i, m.config.vocab));
    Session r(m, small(5, 64, 150));  // a pool that all of them together do not fit
    struct Asked {
      Tokens prompt;
      int64_t count;
      bool cancelled = false;
    };
    std::map<uint64_t, Asked> asked;
    for (int i = 0; i < 60; ++i) {
      Tokens p = beginnings[static_cast<size_t>(below(3))];
      p.resize(1 + static_cast<size_t>(below(static_cast<int>(p.size()))));
      const Tokens end = some(random, below(20), m.config.vocab);
      p.insert(p.end(), end.begin(), end.end());
      const int64_t count = 1 + below(12);
      asked[r.add(p, count)] = {p, count};
      for (int n = below(6); n > 0; --n) r.step();
      if (below(6) == 0) {
        auto it = asked.begin();
        std::advance(it, below(static_cast<int>(asked.size())));
        if (r.said[it->first]->finish == Finish::kNone) it->second.cancelled = true;
        r.engine.cancel(it->first);
      }
    }
    r.finish();
    EXPECT_EQ(r.engine.free_blocks(), r.engine.total_blocks());
    EXPECT_GT(r.engine.counters().reused_tokens, 100);
    for (const auto& [id, a] : asked)
      if (!a.cancelled) expect_same(*r.said[id], alone(m, a.prompt, a.count));
  }
}

}  // namespace
}  // namespace hoist::decode
