// What changes and restricts a draw: penalties and biases, masks, log-probabilities, grammars with a cap.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/error.h"
#include "base/rng.h"
#include "decode/guide.h"
#include "decode/logprobs.h"
#include "decode/sampler.h"
#include "decode/token_filter.h"

namespace hoist::decode {
namespace {

std::vector<float> random_logits(size_t n, uint64_t seed) {
  CounterRng rng(seed, 0);
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(rng.normal(i) * 2);
  return out;
}

// The formulas of penalties.h, token by token.
TEST(Penalties, FollowTheirFormulas) {
  std::mt19937 random(1);
  Penalties penalties;
  for (int round = 0; round < 200; ++round) {
    const size_t n = 1 + random() % 40;
    const std::vector<float> logits = random_logits(n, random());
    std::vector<int32_t> seen;
    for (size_t i = random() % 30; i > 0; --i) seen.push_back(static_cast<int32_t>(random() % (n + 3)) - 1);
    const auto generated = static_cast<int64_t>(random() % (seen.size() + 1));
    SamplingParams p;
    const auto pick = [&](double a, double b) { return random() % 3 == 0 ? a : a + (b - a) * 0.25; };
    p.repeat_penalty = pick(1, 3);
    p.presence_penalty = pick(0, -2);
    p.frequency_penalty = pick(0, 2);
    if (random() % 2) p.logit_bias = {{static_cast<int32_t>(random() % n), 3.5}};
    std::vector<float> got = logits;
    penalties.apply(got, seen, generated, p);
    for (size_t i = 0; i < n; ++i) {
      const auto id = static_cast<int32_t>(i);
      double want = static_cast<double>(logits[i]);
      for (const auto& [token, bias] : p.logit_bias)
        if (token == id) want += bias;
      if (std::count(seen.begin(), seen.end(), id) > 0)
        want = want > 0 ? want / p.repeat_penalty : want * p.repeat_penalty;
      const auto said = std::count(seen.end() - generated, seen.end(), id);
      want -= static_cast<double>(said) * p.frequency_penalty + (said > 0 ? p.presence_penalty : 0);
      EXPECT_NEAR(static_cast<double>(got[i]), want, 1e-5) << round << " " << i;
    }
  }
}

TEST(Penalties, TheSamplerAppliesThem) {
  Sampler s;
  const std::vector<float> logits{3, 2.5, 0};
  const std::vector<int32_t> seen{1, 0, 0};
  SamplingParams p;
  p.frequency_penalty = 0.2;
  EXPECT_EQ(s.sample(logits, seen, p, 2), 0) << "2.6";
  p.presence_penalty = 0.2;
  EXPECT_EQ(s.sample(logits, seen, p, 2), 1) << "2.4, and the prompt does not count";
  EXPECT_EQ(s.sample(logits, seen, p, 3), 0) << "2.4 against 2.1";
  p = {};
  p.logit_bias = {{2, 100}, {0, -100}};
  EXPECT_EQ(s.sample(logits, seen, p, 2), 2);
  p.logit_bias = {{7, 100}};
  EXPECT_EQ(s.sample(logits, seen, p, 2), 0) << "a row that is not there";
}

TEST(Sampler, ForbiddenTokensNeverCome) {
  std::mt19937_64 random(3);
  Sampler s;
  SamplingParams p;
  for (int round = 0; round < 300; ++round) {
    const size_t n = 1 + random() % 200;
    const std::vector<float> logits = random_logits(n, random());
    std::vector<uint64_t> allowed((n + 63) / 64);
    for (uint64_t& w : allowed) w = random() & random();
    p.temperature = round % 3 ? 1.5 : 0;
    p.top_k = round % 2 ? 3 : 0;
    p.seed = random();
    std::vector<float> masked = logits;
    bool any = false;
    for (size_t i = 0; i < n; ++i) {
      const bool may = allowed[i / 64] >> (i % 64) & 1;
      any |= may;
      if (!may) masked[i] = -std::numeric_limits<float>::infinity();
    }
    const int32_t token = s.sample(logits, {}, p, 0, allowed);
    EXPECT_EQ(token, any ? s.sample(masked, {}, p, 0) : kNoToken);
  }
}

TEST(Logprobs, AreTheLogSoftmax) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    const size_t n = 1 + random() % 100;
    std::vector<float> logits = random_logits(n, random());
    if (n > 3) logits[1] = logits[2];  // a tie
    if (n > 5) logits[4] = -std::numeric_limits<float>::infinity();
    long double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<long double>(x));
    const auto chosen = static_cast<int32_t>(random() % n);
    const auto top = static_cast<int64_t>(random() % (n + 5));
    const StepLogprobs got = step_logprobs(logits, chosen, top);
    EXPECT_EQ(got.chosen.token, chosen);
    std::vector<int32_t> order(n);
    for (size_t i = 0; i < n; ++i) order[i] = static_cast<int32_t>(i);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    ASSERT_EQ(got.top.size(), std::min(static_cast<size_t>(top), n));
    for (size_t i = 0; i < got.top.size(); ++i) {
      EXPECT_EQ(got.top[i].token, order[i]);
      const long double want =
          static_cast<long double>(logits[static_cast<size_t>(order[i])]) - std::log(sum);
      if (std::isinf(want))
        EXPECT_EQ(got.top[i].logprob, static_cast<double>(want));
      else
        EXPECT_NEAR(got.top[i].logprob, static_cast<double>(want), 1e-9);
    }
  }
}

// ---- grammars ----

constexpr int32_t kEnd = 0, kMark = 1;

std::shared_ptr<const text::TokenTable> letters() {
  std::vector<std::string> bytes = {"", "", "ab", "</", "th>", "</th>\n", "</th>{"};
  for (int c = 32; c < 127; ++c) bytes.push_back(std::string(1, static_cast<char>(c)));
  return std::make_shared<text::TokenTable>(bytes, std::vector<int32_t>{kEnd});
}

std::shared_ptr<const text::Constraint> constraint(const char* regex) {
  return std::make_shared<text::Constraint>(text::Grammar::from_regex(regex), letters());
}

int32_t id_of(const text::TokenTable& table, std::string_view bytes) {
  for (size_t i = 0; i < table.size(); ++i)
    if (table.bytes(static_cast<int32_t>(i)) == bytes) return static_cast<int32_t>(i);
  return -1;
}

// Generates at random under a cap; the tokens. The guide is done, or the cap is reached.
std::vector<int32_t> generate(Guide& guide, std::mt19937& random, uint64_t cap) {
  TokenFilter filter;
  std::vector<int32_t> out;
  const auto vocab = static_cast<int64_t>(letters()->size());
  while (out.size() < cap && !guide.done()) {
    const auto allowed = filter.allowed(&guide, cap - out.size(), {}, vocab);
    std::vector<int32_t> may;
    for (int32_t i = 0; i < vocab; ++i)
      if (allowed[static_cast<size_t>(i) / 64] >> (i % 64) & 1) may.push_back(i);
    if (may.empty()) {
      ADD_FAILURE() << "nothing may follow";
      break;
    }
    out.push_back(may[random() % may.size()]);
    guide.accept(out.back());
    if (out.back() == kEnd) break;
  }
  return out;
}

TEST(Guide, TheCapAlwaysClosesTheAnswer) {
  std::mt19937 random(7);
  const auto c = constraint("\\{[a-z]*(,[a-z]{3})*\\}");
  for (uint64_t cap = 2; cap < 30; ++cap) {
    Guide guide(c);
    std::string text;
    for (const int32_t t : generate(guide, random, cap)) text += c->tokens().bytes(t);
    EXPECT_TRUE(text.starts_with("{") && text.ends_with("}")) << cap << " " << text;
  }
}

// Free text first; the grammar begins behind the marker, whichever tokens wrote it, and the cap holds for
// both.
TEST(Guide, BeginsBehindItsMarker) {
  std::mt19937 random(9);
  const auto c = constraint("\\{[a-z]*\\}");
  const text::TokenTable& table = c->tokens();
  const std::vector<GuideMarker> markers = {{"</th>", {id_of(table, "</"), id_of(table, "th>")}},
                                            {"</th>", {kMark}}};
  for (const GuideMarker& marker : markers) {
    EXPECT_EQ(Guide::min_tokens(*c, marker), 2 + marker.tokens.size());
    for (int round = 0; round < 200; ++round) {
      Guide guide(c, marker);
      std::string text;
      const uint64_t cap = 4 + random() % 40;
      const char* mark = marker.tokens[0] == kMark ? "</th>" : "";  // elsewhere it writes nothing
      for (const int32_t t : generate(guide, random, cap)) text += t == kMark ? mark : table.bytes(t);
      const size_t at = text.find("</th>");
      ASSERT_NE(at, std::string::npos) << text;
      std::string rest = text.substr(at + 5);
      if (rest.starts_with("\n")) rest.erase(0, 1);
      EXPECT_TRUE(rest.starts_with("{") && rest.ends_with("}")) << text;
      EXPECT_EQ(rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz{}"), std::string::npos) << text;
    }
  }
  // In pieces that no marker's token has, and with the grammar's first byte in the same token.
  for (const std::vector<const char*>& pieces :
       {std::vector<const char*>{"<", "/", "t", "h", ">", "{"}, {"ab", "</th>{"}, {"</", "th>", "{"}}) {
    Guide guide(c, markers[1]);
    for (const char* piece : pieces) guide.accept(id_of(table, piece));
    EXPECT_THROW(guide.accept(id_of(table, "{")), Error);
    guide.accept(id_of(table, "}"));
    EXPECT_TRUE(guide.done());
  }
}

TEST(TokenFilter, BannedTokensGiveWayToNothingElse) {
  TokenFilter filter;
  EXPECT_TRUE(filter.allowed(nullptr, 5, {}, 70).empty());
  const std::vector<int32_t> banned = {69, 3, 1000, -1};
  auto bits = filter.allowed(nullptr, 5, banned, 70);
  ASSERT_EQ(bits.size(), 2u);
  EXPECT_EQ(bits[0], ~uint64_t{8});
  EXPECT_EQ(bits[1], ~uint64_t{32});
  const auto c = constraint("a|ab");
  Guide guide(c);
  guide.accept(id_of(c->tokens(), "a"));
  // "b" or the end; the end waits until it is all that is left.
  const std::vector<int32_t> end = {kEnd};
  bits = filter.allowed(&guide, 5, end, 200);
  EXPECT_EQ(bits[0] & 1, 0u);
  EXPECT_TRUE(bits[static_cast<size_t>(id_of(c->tokens(), "b")) / 64] >> (id_of(c->tokens(), "b") % 64) & 1);
  Guide only(constraint("a?"));
  only.accept(id_of(c->tokens(), "a"));
  EXPECT_TRUE(only.done());
  bits = filter.allowed(&only, 5, end, 200);
  EXPECT_EQ(bits[0], 1u);
}

}  // namespace
}  // namespace hoist::decode
