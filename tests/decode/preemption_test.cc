// Policies in the real engine: however often sequences are interrupted, and wherever their keys and values go
// meanwhile, each says what it says alone, bit for bit, and every block comes back.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "base/error.h"
#include "engine_session.h"

namespace hoist::decode {
namespace {

struct Case {
  const char* name;
  const char* policy;
  int64_t swap_blocks;
  bool file;
  bool prefix_cache;
  int64_t speculate = 0;
  int tenants = 1;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::string folder_for_swaps() {
  const char* folder = std::getenv("TMPDIR");
  return folder && *folder ? folder : "/tmp";
}

// Every look at the clock moves it: steps take time, and runs repeat.
std::function<double()> ticking() {
  auto now = std::make_shared<double>(0);
  return [now] { return *now += 1e-3; };
}

class Preemption : public testing::TestWithParam<Case> {};

TEST_P(Preemption, ChangesNothing) {
  const Case& c = GetParam();
  const Model m = fixture("llama3");
  EngineOptions o = small(8, 64, 120);  // 256 sequences want 25 tokens each, and up to 64
  o.policy = sched::parse_policy(c.policy, "test");
  o.cost = {1e-3, 1e-4, 0, 1e-4, 0};
  o.clock = ticking();
  o.prefix_cache = c.prefix_cache;
  o.speculate = c.speculate;
  const int64_t block_bytes = models::cache_bytes_per_token(m.config, o.cache) * o.block;
  o.swap_bytes = c.swap_blocks * block_bytes;
  if (c.file) o.swap_folder = folder_for_swaps();
  Session r(m, o);
  EXPECT_EQ(r.engine.swap_blocks(), c.swap_blocks);

  std::mt19937 random(5);
  auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  const Tokens beginning = some(random, 12, m.config.vocab);
  struct Asked {
    Tokens prompt;
    int64_t count;
  };
  std::map<uint64_t, Asked> asked;
  std::set<uint64_t> cancelled;
  for (int i = 0; i < 256; ++i) {
    Tokens p(beginning.begin(), beginning.begin() + below(12));
    const Tokens end = some(random, 1 + below(i % 16 == 0 ? 40 : 12), m.config.vocab);
    p.insert(p.end(), end.begin(), end.end());
    const int64_t count = 1 + below(i % 8 == 0 ? 40 : 12);
    r.tenant = i * i % 7 % c.tenants;
    r.priority = i % 5 - 2;
    const uint64_t id = r.add(p, count);
    r.said[id]->keep_logits = i % 8 == 0;
    asked[id] = {p, count};
    for (int n = i % 16 == 0 ? below(12) : 0; n > 0; --n) r.step();
    if (below(8) == 0) {
      auto it = asked.begin();
      std::advance(it, below(static_cast<int>(asked.size())));
      if (r.said[it->first]->finish == Finish::kNone) cancelled.insert(it->first);
      r.engine.cancel(it->first);
    }
  }
  r.finish();
  while (r.engine.settling()) r.step();
  EXPECT_EQ(r.engine.free_blocks(), r.engine.total_blocks());
  EXPECT_EQ(r.engine.free_swap_blocks(), r.engine.swap_blocks());

  const EngineCounters& n = r.engine.counters();
  if (std::string_view(c.policy).substr(0, 4) != "fcfs") EXPECT_GT(n.preemptions, 10);
  if (c.swap_blocks > 0) {
    EXPECT_GT(n.swaps_out, 3);
    EXPECT_GT(n.swaps_in, 3);
  } else {
    EXPECT_GT(n.drops, 3);
    EXPECT_GT(n.recomputed_tokens, 10);
  }
  EXPECT_EQ(n.lost_swaps, 0);
  Alone alone(m, small(1, 64, 64));
  for (const auto& [id, a] : asked) {
    if (cancelled.contains(id)) continue;
    const Said want = alone.say(a.prompt, a.count);
    ASSERT_EQ(r.said[id]->tokens, want.tokens) << id;
    EXPECT_EQ(r.said[id]->finish, want.finish);
    if (r.said[id]->keep_logits) expect_same(*r.said[id], want);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, Preemption,
                         testing::Values(Case{"fcfs", "fcfs", 0, false, true},
                                         Case{"fcfs_swap", "fcfs:kv=reactive", 60, false, true},
                                         Case{"srpt", "srpt", 0, false, true},
                                         Case{"mlfq_recompute", "mlfq:kv=recompute", 0, false, false},
                                         Case{"skip_join_reactive", "sj-mlfq:kv=reactive", 60, false, true},
                                         Case{"skip_join_proactive", "sj-mlfq", 60, false, true},
                                         Case{"skip_join_file", "sj-mlfq", 100, true, false},
                                         Case{"skip_join_guessing", "sj-mlfq", 60, false, true, 3},
                                         Case{"priority", "priority", 0, false, true},
                                         Case{"tenants", "fcfs", 0, false, true, 0, 3},
                                         Case{"tenants_reactive", "fcfs:kv=reactive", 60, false, true, 0, 3},
                                         Case{"tenants_proactive", "sj-mlfq", 60, false, true, 3, 3}),
                         [](const auto& info) { return info.param.name; });

// One that asks for little begins in the step after it came, whoever else has filled the queue.
TEST(Policies, ATenantDoesNotWaitForAnothersFlood) {
  const Model m = fixture("llama3");
  Session r(m, small(4, 64, 4096));
  r.tenant = 1;
  for (int i = 0; i < 40; ++i) r.add({1, 2, 3, i % 50}, 20);
  for (int i = 0; i < 10; ++i) r.step();
  r.tenant = 2;
  const uint64_t id = r.add({4, 5, 6}, 8);
  for (int i = 0; i < 8; ++i) r.step();
  EXPECT_EQ(r.said[id]->finish, Finish::kLength);
  expect_same(*r.said[id], alone(m, {4, 5, 6}, 8));
  r.finish();
}

TEST(Policies, CostsAreMeasuredWhereTheyCount) {
  const Model m = fixture("llama3");
  EngineOptions o = small(4, 64, 256);
  o.policy = sched::parse_policy("sj-mlfq", "test");
  Session r(m, o);
  const uint64_t id = r.add({1, 2, 3}, 8);
  r.finish();
  expect_same(*r.said[id], alone(m, {1, 2, 3}, 8));
  const sched::StepCost cost = r.engine.measure_cost();
  EXPECT_GT(cost.row_seconds(1), 0);
}

TEST(Memory, ThePoolGetsWhatTheRestLeaves) {
  const Model m = fixture("llama3");
  EngineOptions o = small(4, 0, 0);
  o.block = 1;
  const int64_t whole = Engine(m, o).context();
  const int64_t block = models::cache_bytes_per_token(m.config, o.cache) * o.block;
  ASSERT_EQ(whole, 64);
  EXPECT_EQ(block, models::cache_bytes_per_token(m.config, o.cache));
  // Found by asking for too little: the message says what would do.
  o.memory = 1;
  int64_t least = 0;
  try {
    Engine engine(m, o);
    FAIL() << "one byte was enough";
  } catch (const Error& e) {
    const std::string what = e.what();
    least = std::atoll(what.c_str() + what.find("at least ") + 9);
  }
  ASSERT_GT(least, 0);
  o.memory = least;
  Engine tight(m, o);
  EXPECT_EQ(tight.context(), whole);
  EXPECT_EQ(tight.total_blocks(), whole);
  EXPECT_LE(tight.memory().total(), o.memory);
  o.memory = least + 3 * block;
  EXPECT_EQ(Engine(m, o).total_blocks(), whole + 3);
  o.memory = least - 1;
  EXPECT_THROW(Engine(m, o), Error);
}

TEST(Swap, RefusesAFolderThatIsNot) {
  const Model m = fixture("llama3");
  EngineOptions o = small(4, 64, 256);
  o.swap_bytes = 1 << 20;
  o.swap_folder = "/nowhere/at/all";
  try {
    Engine engine(m, o);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("/nowhere/at/all"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace hoist::decode
