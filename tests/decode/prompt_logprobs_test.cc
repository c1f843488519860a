// Log-probabilities of prompts: those of every row computed alone, whatever shares the steps, however the
// prompt is cut, interrupted or known already; and close to another program's.
#include <gtest/gtest.h>

#include <cmath>

#include "engine_session.h"
#include "io/safetensors.h"

namespace hoist::decode {
namespace {

struct Told {
  std::vector<StepLogprobs> prompt;
  Tokens tokens;
  Finish finish = Finish::kNone;
  int64_t reused = 0;
};

SequenceRequest asking(const Tokens& prompt, int64_t count, int64_t top) {
  SequenceRequest r;
  r.prompt = prompt;
  r.max_tokens = count;
  r.prompt_logprobs = top;
  return r;
}

void collect(const std::vector<TokenEvent>& events, std::map<uint64_t, Told>& told) {
  for (const TokenEvent& e : events) {
    Told& t = told[e.id];
    EXPECT_EQ(e.error, "");
    EXPECT_TRUE(e.prompt_logprobs.empty() || (t.tokens.empty() && e.token == kNoToken));
    t.prompt.insert(t.prompt.end(), e.prompt_logprobs.begin(), e.prompt_logprobs.end());
    if (e.token != kNoToken) t.tokens.push_back(e.token);
    t.finish = e.finish;
    t.reused = e.reused;
  }
}

std::map<uint64_t, Told> finish(Engine& engine) {
  std::map<uint64_t, Told> told;
  std::vector<TokenEvent> events;
  while (!engine.idle()) {
    events.clear();
    engine.step(events);
    collect(events, told);
  }
  return told;
}

bool same(const StepLogprobs& a, const StepLogprobs& b) {
  const auto equal = [](const TokenLogprob& x, const TokenLogprob& y) {
    return x.token == y.token && std::memcmp(&x.logprob, &y.logprob, sizeof x.logprob) == 0;
  };
  if (a.rank != b.rank || !equal(a.chosen, b.chosen) || a.top.size() != b.top.size()) return false;
  for (size_t i = 0; i < a.top.size(); ++i)
    if (!equal(a.top[i], b.top[i])) return false;
  return true;
}

// From the logits after each beginning of the prompt, one sequence after the other.
std::vector<StepLogprobs> row_by_row(const Model& m, const Tokens& prompt, int64_t top) {
  Alone one(m, small(1, 64, 64));
  std::vector<StepLogprobs> out;
  for (size_t n = 1; n < prompt.size(); ++n) {
    const Said s = one.say({prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(n)}, 1);
    out.push_back(step_logprobs(s.logits, prompt[n], top));
  }
  return out;
}

void expect_same(const Told& got, const std::vector<StepLogprobs>& want) {
  ASSERT_EQ(got.prompt.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(same(got.prompt[i], want[i])) << i;
}

TEST(PromptLogprobs, AreThoseOfRowsComputedAlone) {
  for (const char* name : {"llama3", "qwen2", "mixtral"}) {
    const Model m = fixture(name);
    std::mt19937 random(11);
    std::vector<Tokens> prompts;
    std::vector<std::vector<StepLogprobs>> want;
    const Tokens shared = some(random, 9, m.config.vocab);
    for (const int64_t n : {1, 2, 3, 17, 40}) {
      prompts.push_back(shared);
      prompts.back().resize(static_cast<size_t>(std::min<int64_t>(n, 9)));
      const Tokens rest = some(random, n - static_cast<int64_t>(prompts.back().size()), m.config.vocab);
      prompts.back().insert(prompts.back().end(), rest.begin(), rest.end());
      want.push_back(row_by_row(m, prompts.back(), 3));
    }
    for (const int64_t seqs : {1, 3, 8})
      for (const int64_t step : {3, 8, 64})
        for (const int64_t rows : {0, 5, 64}) {
          if (step < seqs) continue;
          EngineOptions o = small(seqs, 64, 8 * 64);
          o.step_tokens = step;
          o.prompt_rows = rows;
          Engine engine(m, o);
          std::map<uint64_t, size_t> asked;
          for (size_t i = 0; i < prompts.size(); ++i) {
            asked[engine.add(asking(prompts[i], 3, 3))] = i;
            engine.add(asking(prompts[i], 3, -1));  // neighbours that ask for nothing
          }
          std::map<uint64_t, Told> told = finish(engine);
          for (const auto& [id, i] : asked) {
            expect_same(told[id], want[i]);
            EXPECT_EQ(told[id].tokens, told[id + 1].tokens) << "what is said does not change";
          }
          EXPECT_EQ(engine.free_blocks(), engine.total_blocks());
        }
  }
}

TEST(PromptLogprobs, WhatIsKnownIsComputedAgainForThemOnly) {
  const Model m = fixture("llama3");
  std::mt19937 random(12);
  const Tokens prompt = some(random, 30, m.config.vocab);
  EngineOptions o = small(4, 64, 4 * 64);
  Engine engine(m, o);
  engine.add(asking(prompt, 2, -1));
  finish(engine);
  const uint64_t id = engine.add(asking(prompt, 2, 0));
  Told told = finish(engine)[id];
  EXPECT_EQ(told.reused, 0);
  expect_same(told, row_by_row(m, prompt, 0));
  const uint64_t again = engine.add(asking(prompt, 2, -1));
  EXPECT_EQ(finish(engine)[again].reused, 28) << "what they computed serves others";
}

TEST(PromptLogprobs, EachRowIsToldOnceHoweverOftenInterrupted) {
  const Model m = fixture("llama3");
  for (const char* policy : {"srpt", "mlfq:kv=recompute", "sj-mlfq:kv=reactive"}) {
    std::mt19937 random(13);
    EngineOptions o = small(8, 64, 120);
    o.policy = sched::parse_policy(policy, "test");
    o.cost = {1e-3, 1e-4, 0, 1e-4, 0};
    o.clock = [now = std::make_shared<double>(0)] { return *now += 1e-3; };
    o.swap_bytes = std::string(policy).starts_with("sj")
                       ? 60 * o.block * models::cache_bytes_per_token(m.config, o.cache)
                       : 0;
    Engine engine(m, o);
    std::map<uint64_t, Tokens> asked;
    std::map<uint64_t, Told> told;
    std::vector<TokenEvent> events;
    for (int i = 0; i < 64; ++i) {
      const Tokens p = some(random, 1 + static_cast<int64_t>(random() % 40), m.config.vocab);
      asked[engine.add(asking(p, 1 + static_cast<int64_t>(random() % 20), i % 3 - 1))] = p;
      for (auto n = i % 8 == 0 ? random() % 12 : 0; n > 0; --n) {
        events.clear();
        engine.step(events);
        collect(events, told);
      }
    }
    while (!engine.idle()) {
      events.clear();
      engine.step(events);
      collect(events, told);
    }
    EXPECT_GT(engine.counters().preemptions, 3) << policy;
    EXPECT_GT(engine.counters().swaps_in + engine.counters().recomputed_tokens, 3) << policy;
    int64_t i = 0;
    for (const auto& [id, p] : asked) {
      const int64_t top = i++ % 3 - 1;
      if (top < 0)
        EXPECT_TRUE(told[id].prompt.empty());
      else
        expect_same(told[id], row_by_row(m, p, top));
    }
  }
}

TEST(PromptLogprobs, BesideGuesses) {
  const Model m = fixture("llama3");
  std::mt19937 random(14);
  EngineOptions o = small(3, 64, 4 * 64);
  o.speculate = 3;
  Engine engine(m, o);
  std::map<uint64_t, Tokens> asked;
  for (int i = 0; i < 5; ++i) {
    Tokens p = some(random, 6, m.config.vocab);
    const Tokens again = p;
    for (int n = 0; n < 4; ++n) p.insert(p.end(), again.begin(), again.end());
    asked[engine.add(asking(p, 20, 2))] = p;
  }
  auto told = finish(engine);
  for (const auto& [id, p] : asked) expect_same(told[id], row_by_row(m, p, 2));
}

TEST(PromptLogprobs, AgreeWithTheReference) {
  constexpr int64_t kLength = 24;
  for (const char* name : {"llama3", "gpt2", "gemma2", "qwen3_moe"}) {
    const Model m = fixture(name);
    const io::SafetensorsFile expected(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/parity/" + name +
                                       "/expected.safetensors");
    std::vector<int64_t> ids(static_cast<size_t>(expected.find("input_ids")->elements()));
    expected.read(*expected.find("input_ids"), ids.data());
    const auto vocab = static_cast<size_t>(m.config.vocab);
    std::vector<float> logits(static_cast<size_t>(kLength) * vocab);
    expected.read_as(*expected.find("logits"), DType::f32, logits.data(), 0,
                     static_cast<int64_t>(logits.size()));
    const Tokens prompt(ids.begin(), ids.begin() + kLength);
    EngineOptions o = small(2, kLength + 4, 2 * (kLength + 4));
    o.prompt_rows = 7;
    Engine engine(m, o);
    const uint64_t id = engine.add(asking(prompt, 1, 5));
    const Told told = finish(engine)[id];
    ASSERT_EQ(told.prompt.size(), static_cast<size_t>(kLength - 1)) << name;
    for (size_t i = 0; i + 1 < static_cast<size_t>(kLength); ++i) {
      const std::span<const float> row(logits.data() + i * vocab, vocab);
      const StepLogprobs want = step_logprobs(row, prompt[i + 1], 5);
      EXPECT_NEAR(told.prompt[i].chosen.logprob, want.chosen.logprob, 2e-3) << name << " " << i;
      EXPECT_NEAR(told.prompt[i].top[0].logprob, want.top[0].logprob, 2e-3) << name << " " << i;
    }
  }
}

TEST(PromptLogprobs, ARowThatIsNoNumberEndsItsSequenceAlone) {
  EXPECT_FALSE(has_logprobs(std::vector<float>{1, NAN}));
  EXPECT_FALSE(has_logprobs(std::vector<float>{1, INFINITY}));
  EXPECT_FALSE(has_logprobs(std::vector<float>{-INFINITY, -INFINITY}));
  EXPECT_TRUE(has_logprobs(std::vector<float>{-INFINITY, 0}));
  const StepLogprobs s = step_logprobs(std::vector<float>{1, 3, 3, 2}, 2, 2);
  EXPECT_EQ(s.rank, 2) << "ties go to the lower id";
  EXPECT_EQ(s.top[1].token, 2);
}

}  // namespace
}  // namespace hoist::decode
