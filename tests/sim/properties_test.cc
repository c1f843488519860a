// Properties of every policy over random traces, machines and shortages of memory: no block leaks or serves
// two, limits hold, every request ends once, the same input gives the same output, no step idles work it
// could hold, and nobody waits without bound.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/rng.h"
#include "sim/support.h"

namespace hoist::sim {
namespace {

using sched::Decision;
using sched::KvPlace;
using sched::Request;
using sched::Sequence;
using sched::Slot;
using sched::State;
using sched::Work;

const char* const kPolicies[] = {"fcfs",
                                 "fcfs:kv=reactive",
                                 "fcfs:reserve=true",
                                 "srpt",
                                 "srpt:kv=reactive",
                                 "mlfq",
                                 "mlfq:kv=recompute,promote=-1",
                                 "sj-mlfq",
                                 "sj-mlfq:kv=reactive",
                                 "sj-mlfq:kv=recompute",
                                 "sj-mlfq:promote=-1",
                                 "sj-mlfq:promote=0.3",
                                 "sj-mlfq:levels=3,ratio=4,strict=true",
                                 "priority"};

struct Trial {
  Machine machine;
  std::vector<Request> trace;
};

// Small machines, so that everything is short of something.
Trial trial(uint64_t n) {
  CounterRng rng(n, 99);
  auto below = [&, i = uint64_t{0}](uint64_t limit) mutable {
    return static_cast<int64_t>(rng.below(i++, limit));
  };
  Trial t;
  Machine& m = t.machine;
  m.limits.max_seqs = 1 + below(8);
  m.limits.step_tokens = m.limits.max_seqs + below(64);
  m.limits.block = 1 + below(16);
  m.cost = {0.02, 1e-3, 1e-6, 1e-3, 1e-6};
  const int64_t longest = 16 + below(200);
  const int64_t least = m.limits.blocks_for(longest);
  m.device_blocks = least + below(static_cast<uint64_t>(4 * least));
  m.host_blocks = n % 4 == 0 ? 0 : below(static_cast<uint64_t>(8 * least));
  m.kv_token_bytes = 1;
  m.link_bytes_second = n % 3 == 0 ? 200 : 20000;
  sched::Workload w;
  w.prompt = sched::parse_lengths("uniform:1.." + std::to_string(longest / 2), "");
  w.output = sched::parse_lengths("pareto:1.1,1.." + std::to_string(longest / 2), "");
  w.arrivals.cv = n % 2 ? 1 : 3;
  w.requests = 60;
  w.seed = n;
  w.rate = (0.5 + 1.0 * static_cast<double>(n % 3)) / sched::seconds_per_request(w, m.cost, m.limits);
  t.trace = sched::generate(w);
  return t;
}

void several_tenants(Trial& t) {
  for (Request& r : t.trace) r.tenant = static_cast<int32_t>(r.id * r.id % 7 % 3);
}

// Block ids given out and taken back as the decisions say, beside the ledger's counts.
class Pool {
 public:
  explicit Pool(int64_t total) : total_(static_cast<size_t>(total)) {
    for (int64_t b = 0; b < total; ++b) free_.insert(b);
  }
  void hold(uint64_t owner, int64_t count) {
    auto& mine = held_[owner];
    while (static_cast<int64_t>(mine.size()) < count) {
      ASSERT_FALSE(free_.empty()) << "the tier is overdrawn";
      mine.insert(*free_.begin());
      free_.erase(free_.begin());
    }
  }
  void give(uint64_t owner) {
    for (int64_t b : held_[owner]) ASSERT_TRUE(free_.insert(b).second) << "a block was freed twice";
    held_.erase(owner);
  }
  size_t free() const { return free_.size(); }
  size_t total() const { return total_; }
  void check() const {
    std::set<int64_t> seen = free_;
    size_t count = free_.size();
    for (const auto& [owner, blocks] : held_) {
      seen.insert(blocks.begin(), blocks.end());
      count += blocks.size();
    }
    ASSERT_EQ(count, total_);
    ASSERT_EQ(seen.size(), total_) << "a block serves two";
  }

 private:
  size_t total_;
  std::set<int64_t> free_;
  std::map<uint64_t, std::set<int64_t>> held_;
};

// Holds both tiers' ids to what each sequence is said to hold.
void mirror(const State& s, std::map<uint64_t, std::pair<int64_t, int64_t>>& last, Pool& device, Pool& host) {
  std::map<uint64_t, std::pair<int64_t, int64_t>> now;
  for (const Sequence& q : s.sequences) {
    const bool moving = q.place == KvPlace::kLeaving || q.place == KvPlace::kArriving;
    const int64_t d = q.place == KvPlace::kDevice || moving ? q.blocks : 0;
    const int64_t h = q.place == KvPlace::kHost || moving ? q.blocks : 0;
    if (d || h) now[q.request.id] = {d, h};
  }
  for (const auto& [id, held] : last) {
    if (!now.count(id) || now[id].first < held.first) device.give(id);
    if (!now.count(id) || now[id].second < held.second) host.give(id);
  }
  for (const auto& [id, held] : now) {
    device.hold(id, held.first);
    host.hold(id, held.second);
  }
  last = now;
}

TEST(Properties, BlocksAndLimitsHoldAndEveryRequestEndsOnce) {
  for (const char* policy : kPolicies)
    for (uint64_t n = 0; n < 40; ++n) {
      SCOPED_TRACE(std::string(policy) + " trial " + std::to_string(n));
      Trial t = trial(n);
      if (n % 2) several_tenants(t);
      const sched::Limits& limits = t.machine.limits;
      Pool device(t.machine.device_blocks), host(t.machine.host_blocks);
      std::map<uint64_t, std::pair<int64_t, int64_t>> held;
      std::map<uint64_t, int64_t> tokens;
      Observer o;
      o.decided = [&](const State& s, const Decision& d) {
        std::set<Slot> run, moved;
        int64_t count = 0;
        for (const Work& w : d.work) {
          const Sequence& q = s.sequences[static_cast<size_t>(w.slot)];
          ASSERT_TRUE(run.insert(w.slot).second) << "a sequence stands twice in a step";
          ASSERT_TRUE(q.live);
          count += w.tokens;
          if (w.yields) ++tokens[q.request.id];
        }
        ASSERT_LE(static_cast<int64_t>(d.work.size()), limits.max_seqs);
        ASSERT_LE(count, limits.step_tokens);
        for (const auto* list : {&d.drop, &d.swap_out, &d.swap_in})
          for (Slot slot : *list) ASSERT_TRUE(moved.insert(slot).second) << "two moves of one sequence";
        for (const auto* list : {&d.drop, &d.swap_out})
          for (Slot slot : *list) ASSERT_FALSE(run.count(slot)) << "it runs and loses its KV";
      };
      o.after_step = [&](const sched::Ledger& ledger) {
        ledger.check();
        mirror(ledger.state(), held, device, host);
        device.check();
        host.check();
        ASSERT_EQ(static_cast<int64_t>(device.free()), ledger.state().device.free);
        ASSERT_EQ(static_cast<int64_t>(host.free()), ledger.state().host.free);
      };
      const ServeResult r = run(policy, t.machine, t.trace, &o);
      if (HasFatalFailure()) return;
      ASSERT_EQ(r.requests.size(), t.trace.size());
      for (const RequestResult& q : r.requests) {
        ASSERT_EQ(q.refused, sched::Refusal::kNone);
        EXPECT_GT(q.first_token, q.request.arrival);
        EXPECT_GE(q.completion, q.first_token);
        EXPECT_EQ(tokens[q.request.id], q.request.output_tokens) << "tokens made once each";
      }
      EXPECT_LE(r.peak_blocks, t.machine.device_blocks);
      EXPECT_EQ(device.free(), device.total()) << "a block leaked";
      EXPECT_EQ(host.free(), host.total()) << "a block leaked";
    }
}

TEST(Properties, SameInputSameOutput) {
  for (const char* policy : kPolicies)
    for (uint64_t n = 100; n < 105; ++n) {
      Trial t = trial(n);
      if (n % 2) several_tenants(t);
      const ServeResult a = run(policy, t.machine, t.trace), b = run(policy, t.machine, t.trace);
      EXPECT_EQ(a.steps, b.steps);
      EXPECT_EQ(a.swap_out_bytes, b.swap_out_bytes);
      for (size_t i = 0; i < a.requests.size(); ++i) {
        EXPECT_EQ(a.requests[i].first_token, b.requests[i].first_token);
        EXPECT_EQ(a.requests[i].completion, b.requests[i].completion);
        EXPECT_EQ(a.requests[i].preemptions, b.requests[i].preemptions);
      }
    }
}

TEST(Properties, FcfsKeepsTheOrderOfArrival) {
  for (const char* policy : {"fcfs", "fcfs:reserve=true", "fcfs:kv=reactive"})
    for (uint64_t n = 200; n < 230; ++n) {
      const Trial t = trial(n);
      double last = 0;
      for (const RequestResult& q : run(policy, t.machine, t.trace).requests) {
        EXPECT_GE(q.first_token, last) << policy << " trial " << n;
        last = q.first_token;
      }
    }
}

TEST(Properties, ReservedBlocksAreNeverLost) {
  for (uint64_t n = 300; n < 330; ++n) {
    const Trial t = trial(n);
    const ServeResult r = run("fcfs:reserve=true", t.machine, t.trace);
    EXPECT_EQ(r.drops, 0);
    EXPECT_EQ(r.preemptions, 0);
  }
}

// With memory for all: a step leaves nobody out while it has a place and a token for it, and the machine is
// never idle with work at hand.
TEST(Properties, WorkIsConserved) {
  for (const char* policy : kPolicies)
    for (uint64_t n = 400; n < 420; ++n) {
      Trial t = trial(n);
      if (n % 2) several_tenants(t);
      t.machine.device_blocks = 1 << 20;
      Observer o;
      o.decided = [&](const State& s, const Decision& d) {
        int64_t live = 0, tokens = 0;
        for (const Sequence& q : s.sequences) live += q.live;
        for (const Work& w : d.work) tokens += w.tokens;
        const bool full = static_cast<int64_t>(d.work.size()) == std::min(live, s.limits.max_seqs);
        EXPECT_TRUE(full || tokens == s.limits.step_tokens) << policy << " trial " << n;
      };
      const ServeResult r = run(policy, t.machine, t.trace, &o);
      EXPECT_EQ(r.stalls, 0);
      EXPECT_EQ(r.drops + r.swaps_out, 0);
    }
}

// One queue and no promotion is first come, first served, to the bit.
TEST(Properties, OneLevelIsFcfs) {
  for (uint64_t n = 500; n < 530; ++n) {
    Trial t = trial(n);
    for (const auto& [mlfq, fcfs] :
         {std::pair{"mlfq:levels=1,promote=-1,kv=recompute", "fcfs"},
          std::pair{"sj-mlfq:levels=1,promote=-1,kv=reactive", "fcfs:kv=reactive"}}) {
      const ServeResult a = run(mlfq, t.machine, t.trace), b = run(fcfs, t.machine, t.trace);
      for (size_t i = 0; i < a.requests.size(); ++i)
        EXPECT_EQ(a.requests[i].completion, b.requests[i].completion) << mlfq << " trial " << n;
    }
  }
}

// A batch that holds all jobs present leaves nothing to choose.
TEST(Properties, AllPoliciesAgreeWhenEverybodyFits) {
  for (uint64_t n = 600; n < 610; ++n) {
    Trial t = trial(n);
    t.machine.limits.max_seqs = 64;
    t.machine.limits.step_tokens = 1 << 20;
    t.machine.device_blocks = 1 << 20;
    const ServeResult base = run("fcfs", t.machine, t.trace);
    for (const char* policy : kPolicies) {
      const ServeResult r = run(policy, t.machine, t.trace);
      for (size_t i = 0; i < r.requests.size(); ++i)
        EXPECT_EQ(r.requests[i].completion, base.requests[i].completion) << policy;
    }
  }
}

// Short jobs without end at load 0.95, and some long ones: the longest wait without a turn is at most the
// promotion time, the step under way, and the turns of those promoted at the same time.
TEST(Properties, PromotionBoundsTheWait) {
  Machine m = even_machine(4);
  for (double promote : {20.0, 100.0, 400.0}) {
    sched::Workload w;
    w.prompt = sched::parse_lengths("fixed:1", "");
    w.output = sched::parse_lengths("fixed:4", "");
    w.requests = 20000;
    w.rate = 0.9;  // four rows a second, four tokens a job; 0.95 with the long ones
    w.seed = 3;
    auto trace = sched::generate(w);
    for (auto& r : trace) r.max_tokens = 200;
    for (size_t i = 0; i < trace.size(); i += 1000) trace[i].output_tokens = 200;
    for (const char* name : {"sj-mlfq", "mlfq"}) {
      const ServeResult r = run(std::string(name) + ":promote=" + std::to_string(promote), m, trace);
      double longest = 0;
      for (const RequestResult& q : r.requests) longest = std::max(longest, q.longest_gap);
      EXPECT_LE(longest, promote + 10) << name;
    }
  }
}

TEST(Properties, ShortestFirstIsNoWorseThanFcfsInTheMean) {
  double fcfs = 0, srpt = 0, mlfq = 0;
  int worse = 0;
  for (uint64_t n = 700; n < 740; ++n) {
    Trial t = trial(n);
    t.machine.device_blocks = 1 << 20;
    const double f = mean_latency(run("fcfs", t.machine, t.trace));
    const double s = mean_latency(run("srpt", t.machine, t.trace));
    fcfs += f;
    srpt += s;
    mlfq += mean_latency(run("sj-mlfq", t.machine, t.trace));
    worse += s > f * 1.02;
  }
  EXPECT_LT(srpt, fcfs);
  EXPECT_LT(srpt, mlfq);
  EXPECT_LE(worse, 4) << "of 40 traces";
}

// With a link that moves a job within a step, swapping ahead stalls (almost) never, swapping on demand often,
// and what went out came back or ended.
TEST(Swapping, AheadOfNeedDoesNotStall) {
  Machine m = even_machine(4);
  m.limits.block = 4;
  m.device_blocks = 160;
  m.host_blocks = 4000;
  m.kv_token_bytes = 1;
  m.link_bytes_second = 400;  // a job of at most 140 tokens in a third of a step
  sched::Workload w;
  w.prompt = sched::parse_lengths("uniform:4..40", "");
  w.output = sched::parse_lengths("pareto:1.1,4..100", "");
  w.requests = 2000;
  w.seed = 5;
  w.rate = 0.9 / sched::seconds_per_request(w, m.cost, m.limits);
  const auto trace = sched::generate(w);
  const ServeResult ahead = run("sj-mlfq:kv=proactive", m, trace),
                    demand = run("sj-mlfq:kv=reactive", m, trace);
  EXPECT_GT(demand.stalls, 100);
  EXPECT_LT(static_cast<double>(ahead.stalls), 0.02 * static_cast<double>(demand.stalls));
  EXPECT_GT(ahead.swaps_out, 0);
  EXPECT_EQ(ahead.swaps_out, ahead.swaps_in) << "whoever left came back to end";
  EXPECT_EQ(ahead.drops + demand.drops, 0);
  EXPECT_LT(mean_latency(ahead), mean_latency(demand));
}

}  // namespace
}  // namespace hoist::sim
