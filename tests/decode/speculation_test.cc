// Guessing ahead: what is said is what is said without, at any temperature, in fewer steps where guesses
// hold.
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine_session.h"

namespace hoist::decode {
namespace {

struct Asked {
  Tokens prompt;
  int64_t count;
  SamplingParams sampling;
};

std::vector<Asked> mixed(std::mt19937& random, int64_t vocab) {
  auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  std::vector<Asked> out;
  for (int i = 0; i < 24; ++i) {
    Asked a;
    const Tokens part = some(random, 2 + below(5), vocab);
    for (int n = 1 + below(4); n > 0; --n) a.prompt.insert(a.prompt.end(), part.begin(), part.end());
    a.count = 1 + below(24);
    if (i % 2) {
      a.sampling.temperature = 0.8;
      a.sampling.top_k = i % 4 == 1 ? 5 : 0;
      a.sampling.repeat_penalty = i % 8 == 3 ? 1.2 : 1;
      a.sampling.seed = static_cast<uint64_t>(i);
    }
    out.push_back(std::move(a));
  }
  return out;
}

void expect_unchanged(const Model& m, const EngineOptions& o, EngineCounters* counters = nullptr) {
  std::mt19937 random(11);
  const std::vector<Asked> asked = mixed(random, m.config.vocab);
  Session r(m, o);
  std::vector<uint64_t> ids;
  for (const Asked& a : asked) {
    ids.push_back(r.add(a.prompt, a.count, 0, a.sampling));
    r.step();
  }
  r.finish();
  EXPECT_EQ(r.engine.free_blocks(), r.engine.total_blocks());
  Alone alone(m, o);
  for (size_t i = 0; i < asked.size(); ++i) {
    const Said want = alone.say(asked[i].prompt, asked[i].count, asked[i].sampling);
    expect_same(*r.said[ids[i]], want);
    EXPECT_EQ(r.said[ids[i]]->finish, want.finish);
  }
  if (counters) *counters = r.engine.counters();
}

TEST(Speculation, PromptLookupChangesNothing) {
  for (const char* name : {"llama3", "qwen2"}) {
    const Model m = fixture(name);
    for (int64_t k : {1, 3, 8}) {
      EngineOptions o = small(4, 64, 256);
      o.speculate = k;
      EngineCounters n;
      expect_unchanged(m, o, &n);
      EXPECT_GT(n.drafted_tokens, 0);
    }
  }
}

TEST(Speculation, AModelThatGuessesItselfIsRight) {
  const Model m = fixture("llama3");
  EngineOptions o = small(4, 64, 256);
  o.speculate = 4;
  o.draft = &m;
  EngineCounters n;
  expect_unchanged(m, o, &n);
  EXPECT_GT(n.accepted_tokens, n.drafted_tokens / 2);  // half of the sequences are drawn at random

  // Greedy, alone: every guess holds, so steps are few.
  Session r(m, o);
  r.add({1, 2, 3}, 41);
  r.finish();
  EXPECT_EQ(r.engine.counters().drafted_tokens, r.engine.counters().accepted_tokens);
  EXPECT_LE(r.engine.counters().steps, 1 + 41 / 5 + 2);
}

TEST(Speculation, VocabulariesMustAgree) {
  const Model m = fixture("llama3");
  Model other = fixture("llama3");
  --other.config.vocab;
  EngineOptions o = small(4, 64, 256);
  o.speculate = 4;
  o.draft = &other;
  EXPECT_THROW(Engine(m, o), Error);
}

TEST(PromptLookup, FindsTheLatestOfTheLongest) {
  const auto drafter = make_prompt_lookup(2);
  auto guess = [&](const Tokens& t, int64_t most) {
    Drafter::Ask a;
    a.tokens = t;
    a.most = most;
    drafter->propose({&a, 1});
    return a.draft;
  };
  EXPECT_EQ(guess({1, 2, 3, 4, 1, 2}, 2), (Tokens{3, 4}));
  EXPECT_EQ(guess({1, 2, 3, 4, 1, 2}, 8), (Tokens{3, 4, 1, 2}));
  EXPECT_EQ(guess({1, 2, 3, 1, 2, 4, 1, 2}, 1), (Tokens{4}));
  EXPECT_EQ(guess({9, 1, 2, 3, 1, 2, 4, 9, 1, 2}, 1), (Tokens{3}));
  EXPECT_EQ(guess({5, 5, 5, 5}, 2), (Tokens{5}));
  EXPECT_TRUE(guess({1, 2, 3, 2}, 2).empty());
  EXPECT_TRUE(guess({1}, 2).empty());
  EXPECT_TRUE(guess({1, 1}, 2).empty());
}

TEST(DraftLength, FollowsWhatHolds) {
  DraftLength length;
  const int64_t first = length.most(100);
  length.tried(first, first);
  EXPECT_GT(length.most(100), first);
  EXPECT_EQ(length.most(3), 3);
  length.tried(8, 2);
  EXPECT_EQ(length.most(100), 3);
  int64_t failures = 0;
  while (length.most(100) > 0 && failures < 100) {
    length.tried(length.most(100), 0);
    ++failures;
  }
  EXPECT_LT(failures, 10);
  int64_t pause = 0;
  while (length.most(100) == 0 && pause < 1000) {
    length.skipped();
    ++pause;
  }
  EXPECT_GT(pause, 0);
  EXPECT_EQ(length.most(100), 1);
}

}  // namespace
}  // namespace hoist::decode
