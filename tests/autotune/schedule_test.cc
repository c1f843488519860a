// Schedules change when things are computed, never what: every schedule of the space gives the same bits, and
// the space and its model are sensible.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "autotune/problem.h"
#include "autotune/runner.h"
#include "autotune/tune.h"
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/gemm/sizes.h"

namespace hoist::autotune {
namespace {

std::vector<kernels::Isa> isas() {
  std::vector<kernels::Isa> all;
  for (kernels::Isa isa :
       {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot})
    if (kernels::isa_available(isa)) all.push_back(isa);
  return all;
}

Problem problem(int64_t m, int64_t n, int64_t k, DType type, GemmLayout layout, int threads,
                kernels::Isa isa) {
  return {{type, type, layout, n, k}, m, threads, isa};
}

TEST(Schedules, EveryOneGivesTheSameBits) {
  ThreadPoolOptions options;
  options.threads = 3;
  ThreadPool pool(options);
  struct Size {
    int64_t m, n, k;
  };
  // Edges of tiles, of k blocks and of the space; few rows on either side.
  const Size sizes[] = {{1, 67, 515}, {3, 130, 40}, {61, 4, 513}, {101, 163, 523}, {149, 347, 7}};
  for (kernels::Isa isa : isas())
    for (DType type : {DType::f32, DType::bf16})
      for (GemmLayout layout :
           {GemmLayout::kPanels, GemmLayout::kNt, GemmLayout::kNn, GemmLayout::kTn, GemmLayout::kTt})
        for (const Size& s : sizes) {
          const Problem p = problem(s.m, s.n, s.k, type, layout, pool.threads(), isa);
          Runner runner(p, pool, 1);
          runner.run(nullptr);
          const std::vector<std::byte> first(runner.result(), runner.result() + runner.result_bytes());
          for (const GemmSchedule& schedule : schedule_space(p)) {
            runner.run(&schedule);
            ASSERT_EQ(std::memcmp(first.data(), runner.result(), first.size()), 0)
                << p.text() << " on " << kernels::isa_name(isa) << ": " << schedule.text();
          }
        }
}

TEST(Schedules, SpaceBeginsWithTheDefaultAndIsLegal) {
  for (int threads : {1, 2, 7})
    for (GemmLayout layout : {GemmLayout::kPanels, GemmLayout::kNt}) {
      const Problem p = problem(200, 700, 900, DType::f32, layout, threads, kernels::best_isa());
      const std::vector<GemmSchedule> space = schedule_space(p);
      EXPECT_EQ(space[0], GemmSchedule{});
      EXPECT_GT(space.size(), 20u);
      std::set<std::string> texts;
      for (const GemmSchedule& s : space) {
        EXPECT_TRUE(s.legal()) << s.text();
        EXPECT_TRUE(texts.insert(s.text()).second || s == GemmSchedule{}) << s.text();
      }
    }
}

TEST(Schedules, ModelIsPositiveAndGrowsWithWork) {
  const Machine machine;
  for (int threads : {1, 2, 16}) {
    Problem small = problem(64, 768, 768, DType::f32, GemmLayout::kNt, threads, kernels::best_isa()),
            large = small;
    large.m *= 8;
    for (const GemmSchedule& s : schedule_space(small)) {
      EXPECT_GT(predict(small, s, machine), 0);
      EXPECT_GT(predict(large, s, machine), predict(small, s, machine)) << s.text();
    }
  }
}

// Fewer rows than a plan's most may run in the workspace made for the most, whatever the schedule: what one
// needs, a larger one has.
TEST(Schedules, WorkspaceHoldsFewerRows) {
  for (uint16_t columns : {uint16_t{0}, uint16_t{48}, uint16_t{768}})
    for (uint16_t rows : {uint16_t{0}, uint16_t{96}}) {
      GemmSchedule s;
      s.columns = columns;
      s.rows = rows;
      for (int64_t k : {64, 512, 768, 4096})
        for (int64_t most : {48, 160, 256, 700})
          for (int64_t m = 1; m <= most; m += 13) {
            const kernels::cpu::WorkerSpace space = kernels::cpu::worker_space(m, 2304, k, s);
            const int64_t used =
                kernels::cpu::align64(kernels::cpu::shared_rows(m, k, s) * kernels::cpu::row_bytes(k)) +
                2 * space.bytes();
            EXPECT_LE(used, kernels::cpu::gemm_workspace(most, 2304, k, 2, &s))
                << m << " of " << most << ", " << k;
          }
    }
}

TEST(Schedules, RowsFindTheNearestTuned) {
  kernels::cpu::GemmTable table;
  const GemmKey key{DType::f32, DType::f32, GemmLayout::kPanels, 768, 768};
  GemmSchedule s8, s256, other;
  s8.columns = 96;
  s256.columns = 480;
  other.columns = 48;
  table.set(key, {256, 2, s256});
  table.set(key, {8, 2, other});
  table.set(key, {8, 2, s8});  // replaces
  table.set(key, {16, 4, other});
  const kernels::cpu::TunedProduct* p = table.find(key);
  ASSERT_NE(p, nullptr);
  EXPECT_EQ(p->rows.size(), 3u);
  EXPECT_EQ(*p->find(8, 2), s8);
  EXPECT_EQ(*p->find(5, 2), s8);
  EXPECT_EQ(*p->find(15, 2), s8);
  EXPECT_EQ(p->find(16, 2), nullptr);
  EXPECT_EQ(p->find(4, 2), nullptr);
  EXPECT_EQ(*p->find(129, 2), s256);
  EXPECT_EQ(*p->find(511, 2), s256);
  EXPECT_EQ(p->find(512, 2), nullptr);
  EXPECT_EQ(p->find(8, 3), nullptr);
  EXPECT_EQ(table.find({DType::bf16, DType::f32, GemmLayout::kPanels, 768, 768}), nullptr);
}

TEST(Tuning, StaysWithinItsShareAndNeverChoosesWhatIsSlower) {
  ThreadPoolOptions options;
  options.threads = 2;
  ThreadPool pool(options);
  TuneOptions tune_options;
  tune_options.rounds = 1;
  tune_options.turn_seconds = 0;
  tune_options.exhaustive = true;
  const Problem p = problem(50, 144, 96, DType::f32, GemmLayout::kNt, 2, kernels::best_isa());
  int64_t last = 0;
  const TuneResult r = tune(p, Machine{}, pool, tune_options, [&](int64_t done, int64_t all) {
    EXPECT_EQ(done, ++last);
    EXPECT_GT(all, 0);
  });
  EXPECT_LE(r.trials, std::max<int64_t>(2, r.space / 20));
  EXPECT_LE(r.seconds, r.default_seconds);
  EXPECT_TRUE(r.schedule.legal());
  ASSERT_TRUE(r.exhaustive);
  EXPECT_GE(r.exhaustive->gap, 0);
}

TEST(Tuning, RankCorrelation) {
  EXPECT_DOUBLE_EQ(rank_correlation({1, 2, 3}, {10, 20, 90}), 1);
  EXPECT_DOUBLE_EQ(rank_correlation({1, 2, 3}, {3, 2, 1}), -1);
  EXPECT_DOUBLE_EQ(rank_correlation({1, 1}, {2, 3}), 0);
  EXPECT_DOUBLE_EQ(rank_correlation({}, {}), 0);
}

}  // namespace
}  // namespace hoist::autotune
