// choose_stays against exhaustive search, its bound, and the published counts for equal pieces.
#include "plan/stays.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/rng.h"

namespace hoist::plan {
namespace {

int64_t peak_over(const StayProblem& p, const Stays& s) {
  std::vector<int64_t> used(static_cast<size_t>(p.moments), 0);
  for (size_t i = 0; i < p.pieces.size(); ++i) {
    const Piece& piece = p.pieces[i];
    const size_t n = piece.uses.size();
    for (size_t k = 0; k < n; ++k) {
      used[static_cast<size_t>(piece.uses[k].at)] += piece.bytes;
      if (!s.kept[i][k]) continue;
      const int next = piece.uses[k + 1 < n ? k + 1 : 0].at;
      for (int t = piece.uses[k].at + 1; t != next; ++t) {
        if (t == p.moments) t = 0;
        if (t == next) break;
        used[static_cast<size_t>(t)] += piece.bytes;
      }
    }
  }
  int64_t over = 0;
  for (size_t t = 0; t < used.size(); ++t) over = std::max(over, used[t] - p.capacity[t]);
  return over;
}

double exhaustive(const StayProblem& p) {
  std::vector<std::pair<size_t, size_t>> gaps;
  Stays s;
  for (size_t i = 0; i < p.pieces.size(); ++i) {
    const size_t n = p.pieces[i].uses.size();
    s.kept.emplace_back(n, 0);
    for (size_t k = 0; k < n; ++k)
      if (k + 1 < n || p.pieces[i].persistent) gaps.push_back({i, k});
  }
  double best = std::numeric_limits<double>::infinity();
  for (uint32_t mask = 0; mask < 1u << gaps.size(); ++mask) {
    for (size_t g = 0; g < gaps.size(); ++g) s.kept[gaps[g].first][gaps[g].second] = mask >> g & 1;
    if (peak_over(p, s) > 0) continue;
    price_stays(p, s);
    best = std::min(best, s.cost);
  }
  return best;
}

StayProblem random_problem(uint64_t seed) {
  CounterRng rng(seed, 1);
  uint64_t n = 0;
  const auto below = [&](uint64_t most) { return static_cast<int>(rng.bits(n++) % most); };
  StayProblem p;
  p.moments = 4 + below(8);
  p.read_cost = 1 + below(3);
  p.write_cost = 1 + below(3);
  int gaps = 0;
  for (int i = 2 + below(4); i > 0; --i) {
    Piece piece;
    piece.bytes = 1 + below(5);
    piece.persistent = below(2) == 0;
    for (int t = 0; t < p.moments && gaps < 14; ++t)
      if (below(3) == 0) {
        piece.uses.push_back({t, below(4) != 0, below(2) == 0});
        ++gaps;
      }
    if (piece.uses.empty()) continue;
    if (!piece.persistent) piece.uses[0] = {piece.uses[0].at, false, true};
    p.pieces.push_back(piece);
  }
  std::vector<int64_t> least(static_cast<size_t>(p.moments), 0);
  for (const Piece& piece : p.pieces)
    for (const PieceUse& u : piece.uses) least[static_cast<size_t>(u.at)] += piece.bytes;
  const int64_t capacity = *std::max_element(least.begin(), least.end()) + below(6);
  p.capacity.assign(static_cast<size_t>(p.moments), capacity);
  if (below(2)) p.capacity[static_cast<size_t>(below(static_cast<uint64_t>(p.moments)))] += below(3);
  return p;
}

TEST(Stays, FitAndComeCloseToTheOptimum) {
  double found = 0, optimum = 0;
  int exact = 0, trials = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const StayProblem p = random_problem(seed);
    if (p.pieces.empty()) continue;
    const Stays s = choose_stays(p);
    ASSERT_EQ(peak_over(p, s), 0) << seed;
    const double best = exhaustive(p);
    EXPECT_GE(s.cost, best - 1e-9) << seed;
    EXPECT_LE(s.bound, best + 1e-9) << seed;
    Stays again = s;
    price_stays(p, again);
    EXPECT_EQ(again.cost, s.cost);
    found += s.cost;
    optimum += best;
    exact += s.cost <= best + 1e-9;
    ++trials;
  }
  EXPECT_LE(found, 1.03 * optimum);
  EXPECT_GE(exact, trials * 95 / 100);
  std::printf("optimal in %d of %d, %.4f of the optimum over all\n", exact, trials, found / optimum);
}

// n equal pieces that are only read, room for s: what Belady's rule misses per round.
int64_t misses(const std::vector<int>& order, int pieces, int slots) {
  StayProblem p;
  p.moments = static_cast<int>(order.size());
  p.pieces.resize(static_cast<size_t>(pieces));
  for (Piece& piece : p.pieces) {
    piece.bytes = 1;
    piece.persistent = true;
  }
  for (int t = 0; t < p.moments; ++t)
    p.pieces[static_cast<size_t>(order[static_cast<size_t>(t)])].uses.push_back({t, true, false});
  p.capacity.assign(order.size(), slots);
  const Stays s = choose_stays(p, 1000);
  EXPECT_GE(static_cast<double>(s.bytes_read), s.bound - 1e-6);
  return s.bytes_read;
}

TEST(Stays, MissWhatBeladysRuleMisses) {
  std::vector<int> up, down, step;
  for (int i = 0; i < 10; ++i) up.push_back(i);
  down.assign(up.rbegin(), up.rend());
  std::vector<int> palindrome = up;
  palindrome.insert(palindrome.end(), down.begin(), down.end());
  step = palindrome;
  step.insert(step.end(), up.begin(), up.end());
  EXPECT_EQ(misses(palindrome, 10, 4), 12);  // n - s each way
  EXPECT_LE(misses(up, 10, 4), 7);           // (n - s) / (n - 1) of 10: 20/3 on average over many rounds
  EXPECT_LE(misses(step, 10, 4), 18);        // forward, backward, optimizer
}

TEST(Stays, KeepsEverythingWhereItFits) {
  StayProblem p;
  p.moments = 6;
  p.pieces = {{8, true, {{0, true, false}, {5, true, true}}},
              {8, false, {{1, false, true}, {4, true, false}}}};
  p.capacity.assign(6, 16);
  EXPECT_EQ(choose_stays(p).cost, 0);
}

TEST(Stays, SayHowManyBytesAreMissing) {
  StayProblem p;
  p.moments = 3;
  p.pieces = {{8, true, {{0, true, false}, {2, true, true}}}, {9, true, {{2, true, false}}}};
  p.capacity.assign(3, 10);
  EXPECT_EQ(find_shortfall(p).moment, 2);
  EXPECT_EQ(find_shortfall(p).bytes, 7);
}

}  // namespace
}  // namespace hoist::plan
