// Batches of encoders: optimal against brute force over all orders of all partitions, limits kept, triggers,
// nobody forgotten; and the cache of answers against a plain model of it.
#include "sched/encoder_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "sched/response_cache.h"

namespace hoist::sched {
namespace {

using Batches = std::vector<std::vector<size_t>>;

// The least total completion over every ordered partition: `left` are the sequences still to place.
double brute_force(std::vector<size_t> left, const std::vector<int64_t>& lengths, const EncoderCost& cost,
                   const EncoderLimits& limits, double now) {
  if (left.empty()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (uint32_t mask = 1; mask < 1u << left.size(); ++mask) {
    std::vector<size_t> batch, rest;
    for (size_t i = 0; i < left.size(); ++i) (mask >> i & 1 ? batch : rest).push_back(left[i]);
    int64_t tokens = 0;
    double squares = 0;
    for (size_t i : batch) {
      tokens += lengths[i];
      squares += static_cast<double>(lengths[i] * lengths[i]);
    }
    if (tokens > limits.max_tokens || static_cast<int64_t>(batch.size()) > limits.max_seqs) continue;
    const double end = now + cost.seconds(tokens, squares);
    best = std::min(best,
                    end * static_cast<double>(batch.size()) + brute_force(rest, lengths, cost, limits, end));
  }
  return best;
}

EncoderCost random_cost(std::mt19937_64& rng) {
  const auto draw = [&](double most) { return most * static_cast<double>(rng() % 1001) / 1000; };
  return {draw(20), draw(1), draw(0.05), {}};
}

EncoderCost random_cost_with_points(std::mt19937_64& rng) {
  EncoderCost cost = random_cost(rng);
  int64_t tokens = 0;
  double seconds = 0;
  for (size_t n = 1 + rng() % 4; n > 0; --n) {
    tokens += 1 + static_cast<int64_t>(rng() % 40);
    seconds += static_cast<double>(rng() % 1001) / 50;
    cost.points.push_back({tokens, seconds});
  }
  return cost;
}

void expect_partition(const Batches& batches, const std::vector<int64_t>& lengths,
                      const EncoderLimits& limits) {
  std::vector<int> seen(lengths.size(), 0);
  for (const auto& batch : batches) {
    int64_t tokens = 0;
    EXPECT_FALSE(batch.empty());
    for (size_t i : batch) {
      ++seen[i];
      tokens += lengths[i];
    }
    EXPECT_LE(tokens, limits.max_tokens);
    EXPECT_LE(static_cast<int64_t>(batch.size()), limits.max_seqs);
  }
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
}

TEST(PlanBatches, IsOptimalOverAllOrdersOfAllPartitions) {
  std::mt19937_64 rng(7);
  for (int trial = 0; trial < 150; ++trial) {
    const size_t n = 1 + rng() % 6;
    std::vector<int64_t> lengths;
    for (size_t i = 0; i < n; ++i) lengths.push_back(1 + static_cast<int64_t>(rng() % 30));
    const EncoderLimits limits{1000, 1 + static_cast<int64_t>(rng() % n)};
    const EncoderCost cost = random_cost(rng);
    const Batches batches = plan_batches(lengths, cost, limits);
    expect_partition(batches, lengths, limits);
    std::vector<size_t> all(n);
    std::iota(all.begin(), all.end(), size_t{0});
    const double best = brute_force(all, lengths, cost, limits, 0);
    EXPECT_NEAR(total_completion(batches, lengths, cost), best, 1e-9 * (1 + best)) << "trial " << trial;
  }
}

TEST(PlanBatches, IsOptimalAmongCutsOfTheSortedOrderWhenTokensBind) {
  std::mt19937_64 rng(8);
  for (int trial = 0; trial < 200; ++trial) {
    const size_t n = 1 + rng() % 10;
    std::vector<int64_t> lengths;
    for (size_t i = 0; i < n; ++i) lengths.push_back(1 + static_cast<int64_t>(rng() % 30));
    const EncoderLimits limits{30 + static_cast<int64_t>(rng() % 60), 1 + static_cast<int64_t>(rng() % n)};
    const EncoderCost cost = trial % 2 ? random_cost(rng) : random_cost_with_points(rng);
    const Batches batches = plan_batches(lengths, cost, limits);
    expect_partition(batches, lengths, limits);
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] < lengths[b]; });
    double best = std::numeric_limits<double>::infinity();
    for (uint32_t cuts = 0; cuts < 1u << (n - 1); ++cuts) {
      Batches other(1);
      for (size_t i = 0; i < n; ++i) {
        other.back().push_back(order[i]);
        if (i + 1 < n && cuts >> i & 1) other.emplace_back();
      }
      bool fits = true;
      for (const auto& batch : other) {
        int64_t tokens = 0;
        for (size_t i : batch) tokens += lengths[i];
        fits &= tokens <= limits.max_tokens && static_cast<int64_t>(batch.size()) <= limits.max_seqs;
      }
      if (fits) best = std::min(best, total_completion(other, lengths, cost));
    }
    EXPECT_NEAR(total_completion(batches, lengths, cost), best, 1e-9 * (1 + best)) << "trial " << trial;
  }
}

TEST(PlanBatches, EqualLengthsKeepTheOrderOfArrival) {
  const std::vector<int64_t> lengths(10, 8);
  const Batches batches = plan_batches(lengths, {1, 1, 0, {}}, {1000, 4});
  size_t next = 0;
  for (const auto& batch : batches)
    for (size_t i : batch) EXPECT_EQ(i, next++);
}

TEST(FitEncoderCost, FindsTheCostsThatMadeTheSamples) {
  const EncoderCost truth{0.002, 3e-5, 4e-8, {}};
  std::vector<EncoderSample> samples;
  for (int64_t n : {1, 2, 8})
    for (int64_t length : {8, 64, 256, 500}) {
      const double squares = static_cast<double>(n * length * length);
      samples.push_back({n * length, squares, truth.seconds(n * length, squares)});
    }
  const EncoderCost found = fit_encoder_cost(samples);
  EXPECT_NEAR(found.fixed, truth.fixed, 1e-8);
  EXPECT_NEAR(found.token, truth.token, 1e-10);
  EXPECT_NEAR(found.square, truth.square, 1e-13);
}

TEST(FitEncoderCost, FollowsWhatNoStraightLineSays) {
  // Reading the weights takes 30 ms, however few the rows; from 200 tokens on the arithmetic takes longer.
  const auto truth = [](int64_t tokens) { return std::max(0.03, 1.5e-4 * static_cast<double>(tokens)); };
  std::vector<EncoderSample> samples;
  for (const int64_t tokens : {8, 16, 32, 64, 128, 200, 256, 512, 1024})
    for (const double disturbed : {1.0, 1.3}) samples.push_back({tokens, 0, truth(tokens) * disturbed});
  const EncoderCost found = fit_encoder_cost(samples);
  for (const int64_t tokens : {1, 8, 100, 200, 300, 1000})
    EXPECT_NEAR(found.seconds(tokens, 0), truth(tokens), 1e-9) << tokens;
  double before = 0;
  for (int64_t tokens = 1; tokens < 5000; ++tokens) {
    EXPECT_GE(found.seconds(tokens, 0), before);
    before = found.seconds(tokens, 0);
  }
}

// A service on virtual time: every request is answered once; with the batcher's promise on waiting.
TEST(EncoderBatcher, EverybodyIsServedAndNobodyWaitsLongPastTheLimit) {
  for (const auto trigger : {EncoderPolicy::Trigger::kHungry, EncoderPolicy::Trigger::kLazy}) {
    std::mt19937_64 rng(9);
    EncoderPolicy policy;
    policy.trigger = trigger;
    policy.limits = {600, 8};
    policy.max_wait = 0.5;
    const EncoderCost cost{0.002, 1e-4, 1e-7, {}};
    EncoderBatcher batcher(policy, cost);
    struct Arrival {
      double at;
      int64_t length;
    };
    std::vector<Arrival> arrivals;
    double at = 0;
    for (int i = 0; i < 2000; ++i) {
      at += 0.042 * static_cast<double>(rng() % 1000) / 500;  // close to what it can serve
      arrivals.push_back({at, 1 + static_cast<int64_t>(rng() % 500)});
    }
    std::vector<int> served(arrivals.size(), 0);
    double now = 0, longest = 0;
    size_t next = 0, done = 0, idle = 0;
    while (done < arrivals.size()) {
      for (; next < arrivals.size() && arrivals[next].at <= now; ++next)
        batcher.add(next, arrivals[next].length, arrivals[next].at);
      const EncoderBatcher::Decision d = batcher.next(now);
      if (d.batch.empty()) {
        double wake = d.wake;
        if (next < arrivals.size()) wake = std::min(wake, arrivals[next].at);
        ASSERT_TRUE(std::isfinite(wake)) << "asleep with " << batcher.waiting() << " waiting";
        now = std::max(now, wake);
        ASSERT_LT(++idle, 100000u);
        continue;
      }
      int64_t tokens = 0;
      double squares = 0;
      for (uint64_t id : d.batch) {
        ++served[id];
        longest = std::max(longest, now - arrivals[id].at);
        tokens += arrivals[id].length;
        squares += static_cast<double>(arrivals[id].length * arrivals[id].length);
      }
      EXPECT_LE(tokens, policy.limits.max_tokens);
      EXPECT_LE(d.batch.size(), 8u);
      done += d.batch.size();
      now += cost.seconds(tokens, squares);
    }
    EXPECT_TRUE(std::all_of(served.begin(), served.end(), [](int n) { return n == 1; }));
    EXPECT_LT(longest, 2.0);
  }
}

TEST(EncoderBatcher, TheLongOneIsNotPassedForEver) {
  EncoderPolicy policy;
  policy.limits = {100, 4};
  policy.max_wait = 1;
  const EncoderCost cost{0.01, 1e-3, 0, {}};
  EncoderBatcher batcher(policy, cost);
  batcher.add(0, 100, 0);
  uint64_t id = 1;
  double now = 0;
  for (bool served = false; !served; now += 0.1) {
    ASSERT_LT(now, 1.3);
    for (int i = 0; i < 8; ++i) batcher.add(id++, 10, now);  // more short ones than it can take
    for (uint64_t done : batcher.next(now).batch) served |= done == 0;
  }
  EXPECT_GE(now, 1.0);
}

TEST(EncoderBatcher, LazyWaitsForCompanyAndHungryDoesNot) {
  EncoderPolicy policy;
  policy.limits = {100, 4};
  const EncoderCost cost{0.001, 1e-5, 0, {}};
  EncoderBatcher hungry(policy, cost);
  hungry.add(1, 10, 5.0);
  EXPECT_EQ(hungry.next(5.0).batch, std::vector<uint64_t>{1});

  policy.trigger = EncoderPolicy::Trigger::kLazy;
  policy.wait = 0.25;
  policy.latency = 10;
  EncoderBatcher lazy(policy, cost);
  EXPECT_TRUE(lazy.next(0).batch.empty());
  lazy.add(1, 10, 5.0);
  const EncoderBatcher::Decision wait = lazy.next(5.0);
  EXPECT_TRUE(wait.batch.empty());
  EXPECT_DOUBLE_EQ(wait.wake, 5.25);
  EXPECT_EQ(lazy.next(5.25).batch.size(), 1u);
  for (uint64_t id : {2, 3, 4, 5}) lazy.add(id, 10, 6.0);
  EXPECT_EQ(lazy.next(6.0).batch.size(), 4u) << "a full batch does not wait";

  policy.latency = 0.1;
  EncoderBatcher pressed(policy, cost);
  pressed.add(1, 10, 5.0);
  EXPECT_NEAR(pressed.next(5.0).wake, 5.0 + 0.05 - cost.seconds(10, 0), 1e-12);
  pressed.cancel(1);
  EXPECT_TRUE(pressed.next(9.0).batch.empty());
}

TEST(ResponseCache, KeepsTheMostRecentWithinItsBytes) {
  std::mt19937_64 rng(10);
  ResponseCache cache(20000);
  std::vector<std::pair<std::string, std::vector<float>>> model;  // the latest last
  for (int step = 0; step < 5000; ++step) {
    const std::vector<int32_t> ids = {static_cast<int32_t>(rng() % 40), 7};
    const std::string key = ResponseCache::key(ids, {}, static_cast<int>(rng() % 2));
    const auto at = std::find_if(model.begin(), model.end(), [&](const auto& e) { return e.first == key; });
    if (const std::vector<float>* found = cache.find(key)) {
      ASSERT_NE(at, model.end());
      EXPECT_EQ(*found, at->second);
      std::rotate(at, at + 1, model.end());
    } else {
      std::vector<float> answer(1 + rng() % 200, static_cast<float>(step));
      cache.put(key, answer);
      if (at != model.end()) model.erase(at);  // it had left the cache
      model.emplace_back(key, std::move(answer));
    }
    EXPECT_LE(cache.bytes(), 20000);
    // What it holds is the tail of what was used, none older left over.
    for (size_t i = 0; i < cache.size(); ++i) ASSERT_LT(i, model.size());
  }
  EXPECT_GT(cache.hits(), 0);
  ResponseCache small(100);
  small.put("k", std::vector<float>(1000));
  EXPECT_EQ(small.size(), 0u);
  EXPECT_NE(ResponseCache::key(std::vector<int32_t>{1, 2}, std::vector<int32_t>{}, 0),
            ResponseCache::key(std::vector<int32_t>{1}, std::vector<int32_t>{2}, 0));
}

}  // namespace
}  // namespace hoist::sched
