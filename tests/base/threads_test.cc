// The thread pool: every index once, no worker in two places, nothing left behind.
#include "base/threads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <thread>

#include "base/error.h"

namespace hoist {
namespace {

ThreadPoolOptions with_threads(int n, int spin = 20) {
  ThreadPoolOptions options;
  options.threads = n;
  options.spin_microseconds = spin;
  return options;
}

void expect_covers(ThreadPool& pool, int64_t n, int64_t grain) {
  SCOPED_TRACE("n=" + std::to_string(n) + " grain=" + std::to_string(grain) +
               " threads=" + std::to_string(pool.threads()));
  std::vector<std::atomic<int>> seen(static_cast<size_t>(std::max<int64_t>(n, 0)));
  std::vector<std::atomic<int>> inside(static_cast<size_t>(pool.threads()));
  std::atomic<int> shared{0}, outside{0}, shorter{0};
  pool.parallel_for(n, grain, [&](int64_t begin, int64_t end, int worker) {
    if (worker < 0 || worker >= pool.threads() || begin < 0 || end > n || begin >= end) {
      ++outside;
      return;
    }
    shared += inside[static_cast<size_t>(worker)]++ != 0;
    if (end < n && end - begin < grain) ++shorter;
    for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    --inside[static_cast<size_t>(worker)];
  });
  EXPECT_EQ(outside, 0);
  EXPECT_EQ(shared, 0) << "two ranges ran with one worker at once";
  EXPECT_EQ(shorter, 0) << "a range before the last is shorter than the grain";
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](const auto& s) { return s == 1; }));
}

TEST(ThreadPool, EveryIndexOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(with_threads(threads));
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t n : {-1, 0, 1, 2, 3, 7, 8, 31, 32, 33, 100, 1001, 20000})
      for (int64_t grain : {0, 1, 2, 3, 7, 64, 1000, 30000}) expect_covers(pool, n, grain);
  }
}

TEST(ThreadPool, ManySmallJobsInARow) {
  for (int spin : {0, 20}) {  // workers that sleep at once, and workers that spin
    ThreadPool pool(with_threads(4, spin));
    std::atomic<int64_t> sum{0};
    for (int64_t job = 0; job < 3000; ++job)
      pool.parallel_for(8, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) sum += i;
      });
    EXPECT_EQ(sum, 3000 * 28);
  }
}

// What a body wrote is seen by the caller without any fence of its own.
TEST(ThreadPool, ResultsAreVisibleToTheCaller) {
  ThreadPool pool(with_threads(4));
  std::vector<int64_t> data(4096);
  for (int64_t job = 0; job < 200; ++job) {
    pool.parallel_for(4096, 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) data[static_cast<size_t>(i)] += i + job;
    });
  }
  for (int64_t i = 0; i < 4096; ++i) ASSERT_EQ(data[static_cast<size_t>(i)], 200 * i + 199 * 100);
}

TEST(ThreadPool, PoolsComeAndGo) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(with_threads(3, i % 2 ? 0 : 50));
    if (i % 3) expect_covers(pool, 64, 1);
  }
}

TEST(ThreadPool, SeveralPoolsSideBySide) {
  std::vector<std::thread> owners;
  for (int p = 0; p < 3; ++p)
    owners.emplace_back([] {
      ThreadPool pool(with_threads(2));
      for (int i = 0; i < 100; ++i) expect_covers(pool, 100 + i, 3);
    });
  for (std::thread& t : owners) t.join();
}

TEST(ThreadPool, TheSerialOneRunsInsideOthers) {
  ThreadPool pool(with_threads(3));
  std::vector<int64_t> sums(500);
  pool.parallel_for(500, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i)
      ThreadPool::serial().parallel_for(i, 1, [&](int64_t b, int64_t e, int worker) {
        for (int64_t j = b; j < e; ++j) sums[static_cast<size_t>(i)] += j + worker;
      });
  });
  for (int64_t i = 0; i < 500; ++i) EXPECT_EQ(sums[static_cast<size_t>(i)], i * (i - 1) / 2);
  EXPECT_EQ(ThreadPool::serial().threads(), 1);
}

TEST(ThreadPool, RefusesAbsurdNumbers) { EXPECT_THROW(ThreadPool pool(with_threads(100000)), Error); }

TEST(Topology, FindsThisMachine) {
  const Topology t = Topology::detect();
  EXPECT_GE(t.cores.size(), 1u);
  std::vector<int> cores = t.cores;
  std::sort(cores.begin(), cores.end());
  EXPECT_EQ(std::unique(cores.begin(), cores.end()), cores.end());
  EXPECT_GT(t.memory_bytes, int64_t{64} << 20);
}

}  // namespace
}  // namespace hoist
