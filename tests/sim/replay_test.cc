// Small cases by hand: the three jobs of FastServe's idea, completion by completion, and swapping ahead of
// need against swapping on demand.
#include <gtest/gtest.h>

#include "base/error.h"
#include "sim/support.h"

namespace hoist::sim {
namespace {

using sched::Request;

// Three jobs at time 0; a prompt token takes 1, each later token 1, one job at a time.
std::vector<Request> three_jobs() {
  const int64_t prompt[] = {4, 1, 2}, output[] = {3, 3, 1};
  std::vector<Request> trace(3);
  for (size_t i = 0; i < 3; ++i) {
    trace[i].id = i;
    trace[i].prompt_tokens = prompt[i];
    trace[i].output_tokens = trace[i].max_tokens = output[i];
  }
  return trace;
}

Machine unit_machine() {
  Machine m;
  m.limits.max_seqs = 1;
  m.cost = sched::find_cost_preset("unit")->cost;
  return m;
}

struct Case {
  const char* policy;
  std::vector<double> completions;
  double mean;
};

TEST(Replay, ThreeJobs) {
  const Case cases[] = {{"fcfs", {6, 9, 11}, 8.67},
                        {"mlfq:promote=-1", {9, 11, 7}, 9.00},
                        {"sj-mlfq:promote=-1", {11, 5, 3}, 6.33},
                        {"srpt", {11, 5, 2}, 6.00}};
  for (const Case& c : cases) {
    const ServeResult r = run(c.policy, unit_machine(), three_jobs());
    for (size_t i = 0; i < 3; ++i)
      EXPECT_EQ(r.requests[i].completion, c.completions[i]) << c.policy << " J" << i + 1;
    EXPECT_NEAR(mean_latency(r), c.mean, 0.005) << c.policy;
  }
}

// Which job holds each unit of time under skip-join: J2 prompt; J3; J2 to its end; J1.
TEST(Replay, ThreeJobsStepByStep) {
  std::string schedule;
  Observer o;
  o.decided = [&](const sched::State& s, const sched::Decision& d) {
    for (const sched::Work& w : d.work)
      schedule += std::to_string(s.sequences[static_cast<size_t>(w.slot)].request.id + 1) + "@" +
                  std::to_string(static_cast<int>(s.now)) + " ";
  };
  run("sj-mlfq:promote=-1", unit_machine(), three_jobs(), &o);
  EXPECT_EQ(schedule, "2@0 3@1 2@3 2@4 1@5 1@9 1@10 ");
}

// The released code demotes above the quantum only: J2 keeps queue 1 for a second token.
TEST(Replay, StrictRuleDiffers) {
  const ServeResult r = run("sj-mlfq:promote=-1,strict=true", unit_machine(), three_jobs());
  EXPECT_EQ(r.requests[1].completion, 5);
  EXPECT_EQ(r.requests[2].completion, 4);
}

TEST(Replay, PromptInPiecesIsOneIteration) {
  Machine m = unit_machine();
  m.limits.step_tokens = 1;
  const ServeResult r = run("sj-mlfq:promote=-1", m, three_jobs());
  EXPECT_EQ(r.requests[0].completion, 11);
  EXPECT_EQ(r.requests[1].completion, 5);
  EXPECT_EQ(r.requests[2].completion, 3);
}

// A job that waits is lifted after `promote` seconds, whatever arrives.
TEST(Replay, PromotionEndsAWait) {
  std::vector<Request> trace(1);
  trace[0].prompt_tokens = 8;
  trace[0].output_tokens = trace[0].max_tokens = 1;
  for (int i = 0; i < 100; ++i) {
    Request r;
    r.arrival = i;
    r.prompt_tokens = 1;
    r.output_tokens = r.max_tokens = 1;
    trace.push_back(r);
  }
  std::stable_sort(trace.begin(), trace.end(),
                   [](const Request& a, const Request& b) { return a.arrival < b.arrival; });
  EXPECT_EQ(run("sj-mlfq:promote=-1", unit_machine(), trace).requests[0].completion, 108);
  EXPECT_EQ(run("sj-mlfq:promote=20", unit_machine(), trace).requests[0].completion, 28);
}

TEST(Simulator, RefusesABadTrace) {
  Machine m = unit_machine();
  auto refused = [&](auto change, const char* part) {
    auto trace = three_jobs();
    change(trace[1]);
    try {
      run("fcfs", m, trace);
      ADD_FAILURE() << part;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(std::string("request 1: ") + part), std::string::npos) << e.what();
    }
  };
  refused([](Request& r) { r.arrival = -1; }, "arrival");
  refused([](Request& r) { r.arrival = std::numeric_limits<double>::quiet_NaN(); }, "arrival");
  refused([](Request& r) { r.prompt_tokens = 0; }, "prompt_tokens");
  refused([](Request& r) { r.output_tokens = sched::kUnknownLength; }, "output_tokens");
  refused([](Request& r) { r.output_tokens = 9; }, "output_tokens");
  EXPECT_TRUE(run("fcfs", m, {}).requests.empty());
}

TEST(Simulator, TooLongIsRefusedAndTheRestRuns) {
  Machine m = unit_machine();
  m.device_blocks = 1;
  auto trace = three_jobs();
  trace[1].prompt_tokens = 14;
  const ServeResult r = run("sj-mlfq", m, trace);
  EXPECT_EQ(r.requests[1].refused, sched::Refusal::kTooLong);
  EXPECT_GT(r.requests[0].completion, 0);
  EXPECT_GT(r.requests[2].completion, 0);
}

}  // namespace
}  // namespace hoist::sim
