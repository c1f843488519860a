// The simulator against queueing theory, and the policies where lengths have a heavy tail.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "sim/support.h"

namespace hoist::sim {
namespace {

// Requests of one step each, one at a time: M/D/1. The mean wait is rho D / (2 (1 - rho)).
TEST(Queueing, MeanWaitIsThatOfMD1) {
  for (double load : {0.3, 0.5, 0.8}) {
    Machine m = even_machine(1);
    m.cost.fixed = 0.25;
    sched::Workload w;
    w.prompt = sched::parse_lengths("fixed:10", "");
    w.output = sched::parse_lengths("fixed:1", "");
    w.requests = 400000;
    w.rate = load / m.cost.fixed;
    const double expected = load * m.cost.fixed / (2 * (1 - load));
    for (const char* policy : {"fcfs", "sj-mlfq"}) {
      const double wait = mean_latency(run(policy, m, sched::generate(w))) - m.cost.fixed;
      EXPECT_NEAR(wait, expected, 0.03 * expected) << policy << " at load " << load;
    }
  }
}

// M/G/1 with exponential-like service in tokens: Pollaczek-Khinchine, rate E[S^2] / (2 (1 - rho)).
TEST(Queueing, MeanWaitIsThatOfMG1) {
  Machine m = even_machine(1);
  sched::Workload w;
  w.prompt = sched::parse_lengths("fixed:1", "");
  w.output = sched::parse_lengths("lognormal:10,0.8", "");
  w.requests = 300000;
  w.rate = 0.6 / w.output.mean();
  const ServeResult r = run("fcfs", m, sched::generate(w));
  double wait = 0;
  for (const RequestResult& q : r.requests)
    wait += q.latency() - static_cast<double>(q.request.output_tokens);
  wait /= static_cast<double>(r.requests.size());
  const double expected = w.rate * w.output.mean_square() / (2 * (1 - 0.6));
  EXPECT_NEAR(wait, expected, 0.05 * expected);
}

struct Ratios {
  double mean, p99;
};

Ratios against_fcfs(const std::string& policy, const Machine& m, const sched::Workload& base, int seeds) {
  Ratios sum{0, 0};
  for (int seed = 0; seed < seeds; ++seed) {
    sched::Workload w = base;
    w.seed = static_cast<uint64_t>(seed);
    const auto trace = sched::generate(w);
    const ServeResult f = run("fcfs", m, trace), p = run(policy, m, trace);
    sum.mean += std::log(mean_latency(f) / mean_latency(p));
    sum.p99 += std::log(latency_quantile(p, 0.99) / latency_quantile(f, 0.99));
  }
  return {std::exp(sum.mean / seeds), std::exp(sum.p99 / seeds)};
}

// Answers of bounded Pareto length, shape 1.1, a batch of 8, 90 % load: what preemption is for.
TEST(HeavyTail, SkipJoinBeatsFcfsInTheMeanAndKeepsTheTail) {
  Machine m;
  m.limits.max_seqs = 8;
  m.limits.step_tokens = 512;
  m.cost = sched::find_cost_preset("a100-13b")->cost;
  m.device_blocks = 1 << 20;
  sched::Workload w;
  w.prompt = sched::parse_lengths("lognormal:100,0.5,16..512", "");
  w.output = sched::parse_lengths("pareto:1.1,8..4096", "");
  w.requests = 10000;
  w.rate = 0.9 / sched::seconds_per_request(w, m.cost, m.limits);
  for (const char* policy : {"srpt", "mlfq", "sj-mlfq:promote=-1", "sj-mlfq", "sj-mlfq:promote=0.3",
                             "sj-mlfq:promote=3", "sj-mlfq:promote=30"}) {
    const Ratios r = against_fcfs(policy, m, w, 5);
    std::printf("%-20s mean %.2fx better, p99 %.2fx\n", policy, r.mean, r.p99);
    if (std::string(policy) == "sj-mlfq") {
      EXPECT_GE(r.mean, 1.8);
      EXPECT_LE(r.p99, 1.2);
    }
  }
}

}  // namespace
}  // namespace hoist::sim
