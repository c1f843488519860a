// Policies on their own: names and options, the queue a job joins, where the ledger aborts, and a step's work
// from an order of priority.
#include "sched/policy.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "sched/ledger.h"
#include "sched/swap.h"

namespace hoist::sched {
namespace {

const StepCost kUnit{0, 1, 0, 1, 0};

Request request(uint64_t id, int64_t prompt, int64_t output) {
  Request r;
  r.id = id;
  r.prompt_tokens = prompt;
  r.max_tokens = r.output_tokens = output;
  return r;
}

TEST(Names, EveryPolicyIsMade) {
  for (const PolicyName& n : policy_names())
    EXPECT_NE(make_policy({std::string(n.name), {}}, kUnit), nullptr);
}

TEST(Names, OptionsAreRead) {
  const PolicySpec s = parse_policy("sj-mlfq:promote=1.5, kv=reactive,strict=true", "--policy");
  EXPECT_EQ(s.name, "sj-mlfq");
  EXPECT_EQ(s.options.promote, 1.5);
  EXPECT_EQ(s.options.kv, Symbol("reactive"));
  EXPECT_TRUE(s.options.strict);
  EXPECT_EQ(s.options.ratio, 2);
}

TEST(Names, BadOnesAreRefused) {
  auto refused = [](const char* text, const char* part) {
    try {
      make_policy(parse_policy(text, "--policy"), kUnit);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  refused("lifo", "--policy: found 'lifo', expected one of fcfs, srpt, mlfq, sj-mlfq");
  refused("", "--policy: found ''");
  refused("mlfq:speed=3", "speed");
  refused("mlfq:ratio=fast", "ratio");
  refused("mlfq:ratio=1", "ratio: found 1");
  refused("mlfq:levels=65", "levels: found 65");
  refused("mlfq:quantum=-1", "quantum: found -1");
  refused("mlfq:burst=-1", "burst");
  refused("mlfq:kv=swap", "kv: found 'swap'");
  refused("fcfs:kv=proactive", "kv: found 'proactive'");
  refused("srpt:reserve=true", "reserve");
  EXPECT_THROW(make_policy({"mlfq", {}}, StepCost{}), Error) << "a quantum of no time";
}

// The brief's rule: the first queue whose quantum covers the first iteration.
TEST(SkipJoin, LevelIsTheFirstThatCovers) {
  CounterRng rng(5, 0);
  Limits limits;
  limits.max_seqs = 4;
  for (uint64_t n = 0; n < 300; ++n) {
    PolicyOptions o;
    o.quantum = 0.1 + rng.uniform(4 * n);
    o.ratio = 1.2 + 3 * rng.uniform(4 * n + 1);
    StepCost cost{0, 0.01 + rng.uniform(4 * n + 2), 0, 1, 0};
    limits.step_tokens = n % 2 ? 16 : 4096;
    Ledger ledger(limits, cost, 1000, 0, 0);
    auto policy = make_policy({"sj-mlfq", o}, cost);
    const int64_t prompt = 1 + static_cast<int64_t>(rng.below(4 * n + 3, 2000));
    const Slot slot = ledger.add(request(0, prompt, 1));
    policy->add(ledger.state(), slot);
    int level = 1;
    double quantum = o.quantum;
    for (; quantum < cost.prompt_seconds(prompt, 0, limits.step_tokens); ++level) quantum *= o.ratio;
    EXPECT_EQ(policy->level(slot), level);
    auto plain = make_policy({"mlfq", o}, cost);
    plain->add(ledger.state(), slot);
    EXPECT_EQ(plain->level(slot), 1);
  }
}

// With the strict rule (charge above the quantum) its prompt alone never demotes a job.
TEST(SkipJoin, StrictRuleKeepsTheJoinedLevelThroughThePrompt) {
  const StepCost cost{0.5, 0.25, 0, 1, 0};
  Limits limits;
  limits.max_seqs = 1;
  limits.step_tokens = 32;
  for (int64_t prompt = 1; prompt < 300; ++prompt) {
    Ledger ledger(limits, cost, 1000, 0, 0);
    PolicyOptions o;
    o.quantum = 0.75;
    o.strict = true;
    auto policy = make_policy({"sj-mlfq", o}, cost);
    const Slot slot = ledger.add(request(0, prompt, 2));
    policy->add(ledger.state(), slot);
    const int level = policy->level(slot);
    Decision d;
    double now = 0;
    while (ledger.state().sequences[0].generated == 0) {
      policy->plan(ledger.state(), d);
      ASSERT_EQ(d.work.size(), 1u);
      StepLoad load;
      load.add_prefill(d.work[0].tokens, ledger.state().sequences[0].computed);
      ledger.begin(d.work);
      now += cost.seconds(load);
      ledger.set_now(now);
      ledger.end(d.work);
      policy->ran(ledger.state(), d.work, cost.seconds(load));
    }
    EXPECT_EQ(policy->level(slot), level) << prompt;
  }
}

// The double sum of the paper, term by term.
TEST(Enst, ExecuteTimesAreTheDoubleSum) {
  CounterRng rng(8, 0);
  for (uint64_t n = 0; n < 200; ++n) {
    const size_t levels = 1 + rng.below(100 * n, 12);
    std::vector<int64_t> jobs;
    std::vector<double> quantum;
    for (size_t k = 0; k < levels; ++k) {
      jobs.push_back(static_cast<int64_t>(rng.below(100 * n + 2 * k + 1, 5)));
      quantum.push_back(k < 2 ? 0.25 : quantum.back() * 2);
    }
    const int64_t width = 1 + static_cast<int64_t>(rng.below(100 * n + 99, 8));
    std::vector<double> seconds(levels);
    execute_times(jobs, quantum, width, seconds);
    for (size_t i = 0; i < levels; ++i) {
      double sum = 0;
      for (size_t j = 0; j < i; ++j)
        for (size_t k = std::max<size_t>(j, 1); k < i; ++k) sum += static_cast<double>(jobs[j]) * quantum[k];
      EXPECT_DOUBLE_EQ(seconds[i], sum / static_cast<double>(width));
    }
  }
}

// Decoded rows first, then pieces of prompts in order, within all three limits.
TEST(Batch, DecodesFirstThenPiecesInOrder) {
  Limits limits;
  limits.max_seqs = 4;
  limits.step_tokens = 10;
  limits.block = 4;
  Ledger ledger(limits, kUnit, 100, 0, 0);
  auto policy = make_policy({"fcfs", {}}, kUnit);
  Decision d;
  auto step = [&] {
    policy->plan(ledger.state(), d);
    ledger.begin(d.work);
    ledger.end(d.work);
    policy->ran(ledger.state(), d.work, 1);
    ledger.check();
  };
  for (int64_t prompt : {12, 3, 20, 5, 1}) {
    const Request r = request(static_cast<uint64_t>(prompt), prompt, 50);
    policy->add(ledger.state(), ledger.add(r));
  }
  step();
  ASSERT_EQ(d.work.size(), 1u) << "the first prompt takes all tokens";
  EXPECT_EQ(d.work[0].tokens, 10);
  EXPECT_FALSE(d.work[0].yields);
  step();
  ASSERT_EQ(d.work.size(), 3u);
  EXPECT_EQ(d.work[0].tokens, 2);
  EXPECT_EQ(d.work[1].tokens, 3);
  EXPECT_EQ(d.work[2].tokens, 5);
  EXPECT_TRUE(d.work[0].yields && d.work[1].yields && !d.work[2].yields);
  step();
  ASSERT_EQ(d.work.size(), 3u);
  EXPECT_TRUE(d.work[0].decode && d.work[1].decode && !d.work[2].decode);
  EXPECT_EQ(d.work[2].tokens, 8);
  step();
  ASSERT_EQ(d.work.size(), 4u) << "the fourth comes in, the fifth finds the batch full";
  EXPECT_EQ(d.work[2].tokens, 7);
  EXPECT_EQ(d.work[3].tokens, 1);
}

TEST(Admission, RefusesWhatCouldNeverFit) {
  Limits limits;
  limits.max_waiting = 2;
  Ledger ledger(limits, kUnit, 4, 0, 0);
  EXPECT_EQ(admission(ledger.state(), request(0, 60, 4)), Refusal::kNone);
  EXPECT_EQ(admission(ledger.state(), request(0, 60, 5)), Refusal::kTooLong);
  EXPECT_EQ(admission(ledger.state(), request(0, INT64_MAX, INT64_MAX)), Refusal::kTooLong);
  ledger.add(request(0, 1, 1));
  ledger.add(request(1, 1, 1));
  EXPECT_EQ(admission(ledger.state(), request(0, 1, 1)), Refusal::kQueueFull);
}

TEST(LedgerDeath, BrokenPromisesAbort) {
  Limits limits;
  limits.max_seqs = 2;
  limits.step_tokens = 64;
  Ledger ledger(limits, kUnit, 2, 0, 0);
  const Slot a = ledger.add(request(0, 16, 4)), b = ledger.add(request(1, 32, 4));
  EXPECT_DEATH(ledger.begin({{a, 16, 0, false, true}}), "blocks");
  EXPECT_DEATH(ledger.begin({{a, 17, 2, false, true}}), "tokens");
  EXPECT_DEATH(ledger.begin({{a, 16, 1, false, true}, {b, 32, 2, false, true}}), "overdrawn");
  EXPECT_DEATH(ledger.drop(a), "nothing to drop");
  EXPECT_DEATH(ledger.start_in(a), "host");
  ledger.begin({{a, 16, 1, false, true}});
  ledger.end({{a, 16, 1, false, true}});
  EXPECT_DEATH(ledger.start_out(a), "host tier is overdrawn");
  ledger.remove(a);
  EXPECT_DEATH(ledger.remove(a), "twice");
  ledger.check();
}

// One that is cancelled while its KV moves keeps its blocks until the transfer ends.
TEST(Ledger, CancelDuringATransfer) {
  Limits limits;
  Ledger ledger(limits, kUnit, 4, 4, 0);
  for (bool arriving : {false, true}) {
    const Slot a = ledger.add(request(0, 20, 4));
    const std::vector<Work> work = {{a, 20, 2, false, true}};
    ledger.begin(work);
    ledger.end(work);
    ledger.start_out(a);
    if (arriving) {
      ledger.end_transfer(a);
      ledger.start_in(a);
    }
    ledger.remove(a);
    ledger.check();
    EXPECT_EQ(ledger.state().device.free, 2);
    EXPECT_NE(ledger.add(request(1, 1, 1)), a) << "its slot is not free yet";
    ledger.end_transfer(a);
    ledger.check();
    EXPECT_EQ(ledger.state().device.free, 4);
    EXPECT_EQ(ledger.state().host.free, 4);
    for (Slot s = 0; s < static_cast<Slot>(ledger.state().sequences.size()); ++s)
      if (ledger.state().sequences[static_cast<size_t>(s)].live) ledger.remove(s);
  }
}

}  // namespace
}  // namespace hoist::sched
