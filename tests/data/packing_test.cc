// Which sample lies where: mixtures and packed rows.
#include "data/packing.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "base/error.h"
#include "io/files.h"

namespace hoist::data {
namespace {

class Packing : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/hoist-packing-XXXXXX";
    root_ = mkdtemp(pattern.data());
  }
  void TearDown() override { io::remove_tree(root_); }
  // `count` samples of up to `longest` ids; id = 1000 * number + place, every third without loss.
  SampleStore samples(int64_t count, int64_t longest, uint32_t seed) {
    std::mt19937 random(seed);
    SampleStore store(root_);
    for (int64_t i = 0; i < count; ++i) {
      TokenSample s;
      const auto n = 2 + static_cast<int64_t>(random() % static_cast<uint32_t>(longest - 1));
      for (int64_t k = 0; k < n; ++k) {
        s.ids.push_back(static_cast<int32_t>(1000 * i + k));
        s.trained.push_back(k % 3 != 0);
      }
      store.add(s);
    }
    store.finish();
    return store;
  }
  std::string root_;
};

TEST_F(Packing, MixturesKeepTheirSharesAndEpochs) {
  const SampleStore a = samples(7, 5, 1), b = samples(100, 5, 2), c = samples(3000, 5, 3);
  const Mixture m({{&a, 1}, {&b, 2}, {&c, 5}}, 11);
  std::vector<std::map<int64_t, int64_t>> seen(3);
  for (int64_t block = 0; block < 20; ++block) {
    std::vector<int64_t> count(3);
    for (int64_t n = block * Mixture::kBlock; n < (block + 1) * Mixture::kBlock; ++n) {
      const Mixture::Draw d = m.draw(n);
      ++count[static_cast<size_t>(d.source)];
      ++seen[static_cast<size_t>(d.source)][d.sample];
    }
    EXPECT_EQ(count, (std::vector<int64_t>{128, 256, 640}));
  }
  // After whole blocks every sample came as often as any other of its source, to within one.
  for (size_t s = 0; s < 3; ++s) {
    EXPECT_EQ(static_cast<int64_t>(seen[s].size()), m.samples(static_cast<int>(s)).size());
    int64_t least = INT64_MAX, most = 0;
    for (auto [sample, n] : seen[s]) least = std::min(least, n), most = std::max(most, n);
    EXPECT_LE(most - least, 1);
  }
  // Another seed is another order; the order is not the samples' own.
  const Mixture other({{&a, 1}, {&b, 2}, {&c, 5}}, 12);
  int same = 0, ascending = 0;
  for (int64_t n = 0; n < 1000; ++n) {
    same += m.draw(n).sample == other.draw(n).sample;
    ascending += n > 0 && m.draw(n).sample == m.draw(n - 1).sample + 1;
  }
  EXPECT_LT(same, 300);
  EXPECT_LT(ascending, 100);
  EXPECT_THROW(Mixture({{&a, 1}, {&b, 0}}, 1), Error);
  EXPECT_THROW(Mixture({{&a, 1}, {&b, 1e6}}, 1), Error);
}

struct Rows {
  std::vector<int32_t> ids, targets, segments, positions;
  explicit Rows(int64_t n)
      : ids(static_cast<size_t>(n)), targets(ids.size()), segments(ids.size()), positions(ids.size()) {}
  PackedRow row(int64_t at = 0) { return {&ids[at], &targets[at], &segments[at], &positions[at]}; }
};

TEST_F(Packing, EverySampleLiesWholeInOneRowWithItsTargets) {
  for (int64_t seq : {16, 64})
    for (bool pack : {true, false})
      for (int64_t longest : {3, 10, static_cast<int>(seq) + 1}) {
        const SampleStore a = samples(300, longest, 1), b = samples(50, longest, 2);
        PackedBatches batches({{&a, 3}, {&b, 1}}, seq, pack, 5);
        const Mixture m({{&a, 3}, {&b, 1}}, 5);
        std::set<int64_t> draws;
        const int64_t rows = 400;
        Rows r(rows * seq);
        batches.fill(0, rows, r.row());
        for (int64_t row = 0; row < rows; ++row) {
          int64_t at = row * seq;
          int32_t segment = 0;
          for (int64_t n : batches.draws_of(row)) {
            EXPECT_TRUE(draws.insert(n).second);
            const Mixture::Draw d = m.draw(n);
            const TokenSample s = m.samples(d.source).read(d.sample);
            for (size_t k = 0; k + 1 < s.ids.size(); ++k, ++at) {
              const auto i = static_cast<size_t>(at);
              ASSERT_LT(at, (row + 1) * seq);
              EXPECT_EQ(r.ids[i], s.ids[k]);
              EXPECT_EQ(r.targets[i], s.trained[k + 1] ? s.ids[k + 1] : -1);
              EXPECT_EQ(r.segments[i], segment);
              EXPECT_EQ(r.positions[i], static_cast<int32_t>(k));
            }
            ++segment;
          }
          if (!pack) {
            EXPECT_EQ(segment, 1);
          }
          for (; at < (row + 1) * seq; ++at) {
            EXPECT_EQ(r.targets[static_cast<size_t>(at)], -1);
            EXPECT_EQ(r.segments[static_cast<size_t>(at)], segment) << "padding is nobody's";
          }
        }
        // No draw is passed over, but for those of the last window.
        int64_t missing = 0;
        for (int64_t n = 0; n + 512 < *draws.rbegin(); ++n) missing += !draws.count(n);
        EXPECT_EQ(missing, 0);
        if (pack && longest <= 10) {
          EXPECT_GT(batches.fullness(300), 0.9);
        }
      }
}

TEST_F(Packing, RowsDependOnTheirNumberAlone) {
  const SampleStore a = samples(200, 20, 1);
  constexpr int64_t kSeq = 32, kRows = 900;
  PackedBatches whole({{&a, 1}}, kSeq, true, 9), late({{&a, 1}}, kSeq, true, 9);
  Rows want(kRows * kSeq), got(kRows * kSeq);
  whole.fill(0, kRows, want.row());
  for (int64_t row : {899, 0, 450, 451, 1, 600}) {
    late.fill(row, 1, got.row());
    for (int64_t i = 0; i < kSeq; ++i) {
      EXPECT_EQ(got.ids[static_cast<size_t>(i)], want.ids[static_cast<size_t>(row * kSeq + i)]);
      EXPECT_EQ(got.segments[static_cast<size_t>(i)], want.segments[static_cast<size_t>(row * kSeq + i)]);
    }
  }
}

TEST_F(Packing, EvaluationMeetsEverySampleOnce) {
  const SampleStore a = samples(1300, 12, 4);
  const PackedEvaluation evaluation(a, 24);
  std::multiset<int32_t> starts;
  Rows r(24);
  for (int64_t row = 0; row < evaluation.rows(); ++row) {
    evaluation.fill(row, r.row());
    for (size_t i = 0; i < 24; ++i)
      if (r.positions[i] == 0 && (r.ids[i] || row == 0)) starts.insert(r.ids[i] / 1000);
  }
  EXPECT_GE(starts.size(), 1299u);
  for (int32_t s = 1; s < 1300; ++s) EXPECT_EQ(starts.count(s), 1u);
  evaluation.fill(evaluation.rows(), r.row());
  for (int32_t t : r.targets) EXPECT_EQ(t, -1);
}

}  // namespace
}  // namespace hoist::data
