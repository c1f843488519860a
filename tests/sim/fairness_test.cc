// Turns between tenants, whatever the policy: equal shares while all have work, no gain from idling, a bound
// on what one tenant's flood costs another, and nothing at all where there is one tenant.
#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "sim/support.h"

namespace hoist::sim {
namespace {

using sched::Decision;
using sched::Request;
using sched::State;
using sched::Work;

const char* const kPolicies[] = {"fcfs",
                                 "srpt",
                                 "mlfq:quantum=1",
                                 "sj-mlfq:quantum=1",
                                 "priority",
                                 "fcfs:reserve=true",
                                 "sj-mlfq:quantum=1,kv=reactive"};

Request request(double arrival, int32_t tenant, int64_t prompt, int64_t output) {
  Request r;
  r.arrival = arrival;
  r.tenant = tenant;
  r.prompt_tokens = prompt;
  r.output_tokens = output;
  r.max_tokens = 400;
  return r;
}

void number(std::vector<Request>& trace) {
  std::stable_sort(trace.begin(), trace.end(),
                   [](const Request& a, const Request& b) { return a.arrival < b.arrival; });
  for (size_t i = 0; i < trace.size(); ++i) trace[i].id = i;
}

// Memory for all; a step takes as long as it has tokens.
Machine token_machine(int64_t max_seqs, int64_t step_tokens) {
  Machine m;
  m.limits.max_seqs = max_seqs;
  m.limits.step_tokens = step_tokens;
  m.cost = {0, 1, 0, 1, 0};
  m.device_blocks = int64_t{1} << 40;
  return m;
}

// What each tenant was served from when all had enough for whole steps, and how far apart they came.
struct Shares {
  std::map<int32_t, int64_t> tokens;
  int64_t apart = 0, steps = 0;

  Observer observer(int32_t tenants) {
    Observer o;
    o.decided = [this, tenants](const State& s, const Decision& d) {
      std::map<int32_t, int64_t> live;
      for (const sched::Sequence& q : s.sequences)
        if (q.live) ++live[q.request.tenant];
      bool full = static_cast<int32_t>(live.size()) == tenants;
      for (const auto& [tenant, n] : live) full = full && n >= s.limits.max_seqs;
      if (!full) return tokens.clear();
      ++steps;
      for (int32_t t = 0; t < tenants; ++t) tokens[t] += 0;
      for (const Work& w : d.work)
        tokens[s.sequences[static_cast<size_t>(w.slot)].request.tenant] += w.tokens;
      for (const auto& [a, x] : tokens)
        for (const auto& [b, y] : tokens) apart = std::max(apart, x - y);
    };
    return o;
  }
};

TEST(FairShare, IsEqualWhileAllHaveWork) {
  for (const char* policy : kPolicies)
    for (uint64_t n = 0; n < 12; ++n) {
      SCOPED_TRACE(std::string(policy) + " trial " + std::to_string(n));
      CounterRng rng(n, 7);
      uint64_t draw = 0;
      const auto below = [&](uint64_t limit) { return static_cast<int64_t>(rng.below(draw++, limit)); };
      const auto tenants = static_cast<int32_t>(2 + below(3));
      const Machine m = token_machine(2 + below(7), 16 + below(64));
      std::vector<Request> trace;
      for (int32_t t = 0; t < tenants; ++t) {
        // Each has its own kind of requests, and some come later; the first tenant sends by far the most.
        const uint64_t prompt = t % 2 ? 100 : 8, output = t % 2 ? 10 : 60;
        for (int64_t i = 0; i < (t == 0 ? 300 : 60); ++i)
          trace.push_back(request(t == 1 ? 3000 : 0, t, 1 + below(prompt), 1 + below(output)));
      }
      number(trace);
      Shares shares;
      const Observer o = shares.observer(tenants);
      run(policy, m, trace, &o);
      EXPECT_GT(shares.steps, 20);
      EXPECT_LE(shares.apart, 2 * m.limits.step_tokens);
    }
}

// A tenant that asks for little, beside one that asks for all there is.
TEST(FairShare, AFloodCostsOthersABoundedWait) {
  const Machine m = even_machine(4);
  std::vector<Request> quiet, both;
  for (int i = 0; i < 40; ++i) quiet.push_back(request(7.5 + 60 * i, 1, 5, 20));
  number(quiet);
  both = quiet;
  for (int i = 0; i < 300; ++i) both.push_back(request(0, 0, 50, 100));
  number(both);
  const auto waits = [&](const std::string& policy, const std::vector<Request>& trace) {
    std::pair<double, double> worst;
    for (const RequestResult& r : run(policy, m, trace).requests)
      if (r.request.tenant == 1)
        worst = {std::max(worst.first, r.ttft()), std::max(worst.second, r.latency())};
    return worst;
  };
  for (const std::string policy : kPolicies) {
    const auto alone = waits(policy, quiet), beside = waits(policy, both);
    EXPECT_LE(beside.first, alone.first + 2) << policy << ": a step is under way, and the next begins";
    EXPECT_LE(beside.second, alone.second + 2) << policy;
  }
  EXPECT_GT(waits("fcfs:fair=false", both).first, 1000) << "what it is good for";
}

// Many tenants with one request each are served before the flood of one comes to its second.
TEST(FairShare, ManyTenantsComeBeforeTheSecondOfOne) {
  const Machine m = even_machine(1);
  std::vector<Request> trace;
  for (int i = 0; i < 50; ++i) trace.push_back(request(0, 0, 1, 1));
  for (int32_t t = 1; t <= 20; ++t) trace.push_back(request(0, t, 1, 1));
  number(trace);
  for (const RequestResult& r : run("fcfs", m, trace).requests)
    if (r.request.tenant > 0) EXPECT_LE(r.completion, 21.0) << r.request.tenant;
}

TEST(FairShare, IdlingEarnsNothing) {
  const Machine m = token_machine(4, 32);
  std::vector<Request> trace;
  for (int i = 0; i < 400; ++i) trace.push_back(request(0, 0, 10, 20));
  trace.push_back(request(0, 1, 1, 1));  // it was here before
  for (int i = 0; i < 100; ++i) trace.push_back(request(5000, 1, 10, 20));
  number(trace);
  Shares shares;
  const Observer o = shares.observer(2);
  run("fcfs", m, trace, &o);
  EXPECT_GT(shares.steps, 100);
  EXPECT_LE(shares.apart, 2 * m.limits.step_tokens);
}

TEST(FairShare, OneTenantIsAsWithout) {
  for (const char* policy : {"fcfs", "fcfs:kv=reactive", "fcfs:reserve=true", "srpt", "mlfq", "sj-mlfq",
                             "sj-mlfq:kv=reactive", "sj-mlfq:kv=recompute", "priority"})
    for (uint64_t n = 0; n < 10; ++n) {
      CounterRng rng(n, 17);
      Machine m;
      m.limits = {4, 32, 4, 0};
      m.cost = {0.02, 1e-3, 1e-6, 1e-3, 1e-6};
      m.device_blocks = 120;
      m.host_blocks = n % 2 ? 200 : 0;
      m.link_bytes_second = 500;
      std::vector<Request> trace;
      for (uint64_t i = 0; i < 60; ++i)
        trace.push_back(request(0.01 * static_cast<double>(i), 0,
                                1 + static_cast<int64_t>(rng.below(2 * i, 40)),
                                1 + static_cast<int64_t>(rng.below(2 * i + 1, 40))));
      number(trace);
      const std::string off = std::string(policy) +
                              (std::string(policy).find(':') == std::string::npos ? ":" : ",") + "fair=false";
      const ServeResult without = run(off, m, trace);
      std::vector<Request> several = trace;
      for (Request& r : several) r.tenant = static_cast<int32_t>(r.id % 3);
      const ServeResult blind = run(off, m, several);
      for (Request& r : trace) r.tenant = 5;
      const ServeResult with = run(policy, m, trace);
      EXPECT_EQ(with.steps, without.steps);
      EXPECT_EQ(with.swap_out_bytes, without.swap_out_bytes);
      for (size_t i = 0; i < trace.size(); ++i) {
        EXPECT_EQ(with.requests[i].first_token, without.requests[i].first_token) << policy << " trial " << n;
        EXPECT_EQ(with.requests[i].completion, without.requests[i].completion) << policy << " trial " << n;
        EXPECT_EQ(with.requests[i].preemptions, without.requests[i].preemptions) << policy << " trial " << n;
        EXPECT_EQ(blind.requests[i].completion, without.requests[i].completion) << policy << " trial " << n;
      }
    }
}

TEST(Queue, OneTenantDoesNotFillIt) {
  Machine m = even_machine(1);
  m.limits.max_waiting = 10;
  m.limits.max_tenant_waiting = 6;
  std::vector<Request> trace;
  for (int i = 0; i < 20; ++i) trace.push_back(request(0, 0, 1, 5));
  for (int i = 0; i < 20; ++i) trace.push_back(request(0.5, 1, 1, 5));
  number(trace);
  std::map<int32_t, int> taken;
  for (const RequestResult& r : run("fcfs", m, trace).requests)
    taken[r.request.tenant] += r.refused == sched::Refusal::kNone;
  EXPECT_EQ(taken[0], 6);
  EXPECT_EQ(taken[1], 5) << "one of the other's runs by then";
}

TEST(Priority, LowerGoesFirstAndEqualsInOrder) {
  CounterRng rng(3, 0);
  std::vector<Request> trace;
  for (uint64_t i = 0; i < 60; ++i) {
    trace.push_back(request(0, 0, 3, 4));
    trace.back().priority = static_cast<int32_t>(rng.below(i, 5)) - 2;
  }
  number(trace);
  std::vector<RequestResult> results = run("priority", even_machine(1), trace).requests;
  std::sort(results.begin(), results.end(),
            [](const RequestResult& a, const RequestResult& b) { return a.completion < b.completion; });
  for (size_t i = 1; i < results.size(); ++i) {
    const Request &a = results[i - 1].request, &b = results[i].request;
    EXPECT_TRUE(a.priority < b.priority || (a.priority == b.priority && a.id < b.id));
  }
  // One that comes later and is urgent does not wait for the end of another; no tenant gains by its numbers.
  trace = {request(0, 0, 3, 100), request(10.5, 0, 3, 4), request(10.5, 1, 3, 4)};
  trace[1].priority = -1;
  trace[2].priority = 1000;
  number(trace);
  results = run("priority", even_machine(1), trace).requests;
  EXPECT_LE(results[1].latency(), 10);
  EXPECT_LE(results[2].latency(), 10);
}

}  // namespace
}  // namespace hoist::sim
