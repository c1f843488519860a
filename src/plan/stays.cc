#include "plan/stays.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace hoist::plan {

namespace {

constexpr double kCloseEnough = 1e-3;  // of the cost
constexpr int kPasses = 4;             // over all pieces, at most
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A gap between two uses; moments strictly between them. A wrapping gap is two ranges.
struct Gap {
  int piece, use;
  int from, to;  // [from, to): moments in which a kept piece occupies memory without being used
  bool wraps;    // then [from, moments) and [0, to)
};

class Solver {
 public:
  Solver(const StayProblem& problem, int rounds) : p_(problem), rounds_(rounds) {
    const auto n = static_cast<size_t>(p_.moments);
    room_ = p_.capacity;
    for (size_t i = 0; i < p_.pieces.size(); ++i) {
      const Piece& piece = p_.pieces[i];
      first_gap_.push_back(gaps_.size());
      for (size_t k = 0; k < piece.uses.size(); ++k) {
        room_[static_cast<size_t>(piece.uses[k].at)] -= piece.bytes;
        const bool last = k + 1 == piece.uses.size();
        const int next = last ? piece.uses[0].at : piece.uses[k + 1].at;
        gaps_.push_back(
            {static_cast<int>(i), static_cast<int>(k), piece.uses[k].at + 1, next, last && piece.persistent});
        if (last && !piece.persistent) gaps_.back().to = gaps_.back().from;
      }
    }
    price_.assign(n, 0);
    sums_.assign(n + 1, 0);
    rent_.assign(gaps_.size(), 0);
  }

  Stays solve() {
    Stays best;
    best.cost = kInfinity;
    double bound = 0;
    std::vector<uint8_t> keep(gaps_.size(), 1);
    double step = 1;
    int since_better = 0;
    for (int round = 0; round < rounds_; ++round) {
      const double low = decide(keep);
      if (low > bound) {
        bound = low;
        since_better = 0;
      } else if (++since_better == 8) {
        step /= 2;
        since_better = 0;
      }
      used(keep);
      const bool fits = fits_everywhere();
      if ((fits && round % 5 == 0) || round % 25 == 0 || round + 1 == rounds_) {
        std::vector<uint8_t> feasible = keep;
        repair(feasible);
        improve(feasible);
        Stays found = stays_of(feasible);
        if (found.cost < best.cost) best = std::move(found);
        used(keep);
      }
      if (best.cost - bound <= kCloseEnough * best.cost) break;
      // Polyak's step towards the best known cost. Bytes over the capacity are the subgradient.
      double norm = 0;
      for (size_t t = 0; t < price_.size(); ++t) {
        const double over = static_cast<double>(use_[t] - room_[t]);
        if (over > 0 || price_[t] > 0) norm += over * over;
      }
      if (norm == 0) break;
      const double scale = step * std::max(best.cost - low, 1e-3 * best.cost) / norm;
      for (size_t t = 0; t < price_.size(); ++t)
        price_[t] = std::max(0.0, price_[t] + scale * static_cast<double>(use_[t] - room_[t]));
    }
    best.bound = std::min(bound, best.cost);
    return best;
  }

 private:
  double rent(const Gap& g) const {
    const auto at = [&](int t) { return sums_[static_cast<size_t>(t)]; };
    const double sum = g.wraps ? at(p_.moments) - at(g.from) + at(g.to) : at(g.to) - at(g.from);
    return sum * static_cast<double>(p_.pieces[static_cast<size_t>(g.piece)].bytes);
  }

  // Each piece's cheapest choice at the prices; returns the Lagrangian bound.
  double decide(std::vector<uint8_t>& keep) {
    for (size_t t = 0; t < price_.size(); ++t) sums_[t + 1] = sums_[t] + price_[t];
    double total = 0;
    for (size_t t = 0; t < price_.size(); ++t) total -= price_[t] * static_cast<double>(room_[t]);
    for (size_t i = 0; i < gaps_.size(); ++i) rent_[i] = rent(gaps_[i]);
    for (size_t i = 0; i < p_.pieces.size(); ++i) total += decide_piece(i, keep);
    return total;
  }

  // The cheapest way of one piece: its traffic and, for each gap it is kept over, that gap's rent_.
  double decide_piece(size_t i, std::vector<uint8_t>& keep) {
    const Piece& piece = p_.pieces[i];
    const size_t n = piece.uses.size();
    const double read = p_.read_cost * static_cast<double>(piece.bytes),
                 write = p_.write_cost * static_cast<double>(piece.bytes);
    // cost[d]: least cost so far with the piece clean (0) or dirty (1) before the next gap; from which state,
    // and whether the gap before was bridged, is in `ways`.
    double best = kInfinity;
    ways_.resize(2 * n);
    std::vector<uint8_t>& chosen = chosen_;
    chosen.assign(n, 0);
    // How the run begins: 0, 1: bridged from the run before, clean or dirty; 2: not there.
    for (int start = 0; start < 3; ++start) {
      if (start < 2 && !piece.persistent) continue;
      double cost[2] = {kInfinity, kInfinity};
      const bool content = piece.persistent && piece.uses[0].reads;
      const int arrives = start == 1;
      cost[arrives] = start == 2 && content ? read : 0;
      if (piece.uses[0].writes) {
        cost[1] = std::min(cost[0], cost[1]);
        cost[0] = kInfinity;
      }
      for (size_t k = 0; k + 1 < n; ++k) {
        const double stay = rent_[first_gap_[i] + k], again = piece.uses[k + 1].reads ? read : 0;
        double next[2] = {kInfinity, kInfinity};
        // Bridged: as dirty as before. Else clean, after writing what was dirty - unless nobody will read it.
        const double write_back = piece.uses[k + 1].reads ? write : 0;
        uint8_t way[2] = {0, 0};
        for (int d = 0; d < 2; ++d) {
          const double kept = cost[d] + stay, left = cost[d] + (d ? write_back : 0) + again;
          if (kept < next[d]) next[d] = kept, way[d] = static_cast<uint8_t>(2 * d + 1);
          if (left < next[0]) next[0] = left, way[0] = static_cast<uint8_t>(2 * d);
        }
        if (piece.uses[k + 1].writes) {
          if (next[0] < next[1]) next[1] = next[0], way[1] = way[0];
          next[0] = kInfinity;
        }
        ways_[2 * k] = way[0], ways_[2 * k + 1] = way[1];
        cost[0] = next[0], cost[1] = next[1];
      }
      double end = kInfinity;
      int last = 0;
      if (!piece.persistent) {
        last = cost[1] < cost[0];
        end = cost[last];
      } else if (start < 2) {
        last = start;
        end = cost[last] + rent_[first_gap_[i] + n - 1];
      } else {
        const double out[2] = {cost[0], cost[1] + write};
        last = out[1] < out[0];
        end = out[last];
      }
      if (end >= best) continue;
      best = end;
      chosen[n - 1] = start < 2;
      for (size_t k = n - 1; k-- > 0;) {
        const uint8_t way = ways_[2 * k + static_cast<size_t>(last)];
        chosen[k] = way & 1;
        last = way >> 1;
      }
    }
    std::copy(chosen.begin(), chosen.end(), keep.begin() + static_cast<std::ptrdiff_t>(first_gap_[i]));
    return best;
  }

  template <class F>
  void each_moment(const Gap& g, F f) const {
    if (!g.wraps) {
      for (int t = g.from; t < g.to; ++t) f(static_cast<size_t>(t));
      return;
    }
    for (int t = g.from; t < p_.moments; ++t) f(static_cast<size_t>(t));
    for (int t = 0; t < g.to; ++t) f(static_cast<size_t>(t));
  }
  int length(const Gap& g) const { return g.wraps ? p_.moments - g.from + g.to : g.to - g.from; }
  int64_t bytes(const Gap& g) const { return p_.pieces[static_cast<size_t>(g.piece)].bytes; }

  void used(const std::vector<uint8_t>& keep) {
    // By differences: gaps are many and long.
    std::vector<int64_t> change(price_.size() + 1, 0);
    for (size_t i = 0; i < gaps_.size(); ++i) {
      if (!keep[i]) continue;
      const Gap& g = gaps_[i];
      change[static_cast<size_t>(g.from)] += bytes(g);
      if (g.wraps) {
        change[0] += bytes(g);
        change[price_.size()] -= bytes(g);
      }
      change[static_cast<size_t>(g.to)] -= bytes(g);
    }
    use_.assign(price_.size(), 0);
    int64_t sum = 0;
    for (size_t t = 0; t < use_.size(); ++t) use_[t] = sum += change[t];
  }
  bool fits_everywhere() const {
    for (size_t t = 0; t < use_.size(); ++t)
      if (use_[t] > room_[t]) return false;
    return true;
  }

  // What leaving at this gap costs, roughly: a dirty piece is written, a read one read.
  double worth(const Gap& g) const {
    const Piece& piece = p_.pieces[static_cast<size_t>(g.piece)];
    const auto k = static_cast<size_t>(g.use), n = piece.uses.size();
    const PieceUse& next = piece.uses[k + 1 < n ? k + 1 : 0];
    double cost = next.reads ? p_.read_cost : 0;
    if (piece.uses[k].writes && (next.reads || g.wraps)) cost += p_.write_cost;
    return cost;
  }

  // Drops gaps until all fit, then bridges more where there is room: per byte and moment, the least worthy
  // first, then the worthiest.
  void repair(std::vector<uint8_t>& keep) {
    used(keep);
    std::vector<size_t> order;
    for (size_t i = 0; i < gaps_.size(); ++i)
      if (length(gaps_[i]) > 0 || gaps_[i].wraps || gaps_[i].to > gaps_[i].from) order.push_back(i);
    std::vector<double> density(gaps_.size(), 0);
    for (size_t i : order) density[i] = worth(gaps_[i]) / std::max(1, length(gaps_[i]));
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return density[a] < density[b]; });
    for (size_t i : order) {
      if (!keep[i]) continue;
      bool over = false;
      each_moment(gaps_[i], [&](size_t t) { over |= use_[t] > room_[t]; });
      if (!over) continue;
      keep[i] = 0;
      each_moment(gaps_[i], [&](size_t t) { use_[t] -= bytes(gaps_[i]); });
    }
    for (size_t n = order.size(); n-- > 0;) {
      const size_t i = order[n];
      if (keep[i] || density[i] == 0) continue;
      bool fits = true;
      each_moment(gaps_[i], [&](size_t t) { fits &= use_[t] + bytes(gaps_[i]) <= room_[t]; });
      if (!fits) continue;
      keep[i] = 1;
      each_moment(gaps_[i], [&](size_t t) { use_[t] += bytes(gaps_[i]); });
    }
    // Adjacent uses need no memory between them: always one stay.
    for (size_t i = 0; i < gaps_.size(); ++i)
      if (length(gaps_[i]) == 0 && (gaps_[i].wraps || next_exists(gaps_[i]))) keep[i] = 1;
  }
  bool next_exists(const Gap& g) const {
    return static_cast<size_t>(g.use) + 1 < p_.pieces[static_cast<size_t>(g.piece)].uses.size();
  }

  // Piece by piece: the best it can do in the room that the others leave, until nobody gains.
  void improve(std::vector<uint8_t>& keep) {
    used(keep);
    for (int pass = 0; pass < kPasses; ++pass) {
      bool changed = false;
      for (size_t i = 0; i < p_.pieces.size(); ++i) {
        const size_t begin = first_gap_[i], end = begin + p_.pieces[i].uses.size();
        before_.assign(keep.begin() + static_cast<std::ptrdiff_t>(begin),
                       keep.begin() + static_cast<std::ptrdiff_t>(end));
        for (size_t g = begin; g < end; ++g)
          if (keep[g]) each_moment(gaps_[g], [&](size_t t) { use_[t] -= bytes(gaps_[g]); });
        for (size_t g = begin; g < end; ++g) {
          bool fits = true;
          each_moment(gaps_[g], [&](size_t t) { fits &= use_[t] + bytes(gaps_[g]) <= room_[t]; });
          rent_[g] = fits ? 0 : kInfinity;
        }
        decide_piece(i, keep);
        for (size_t g = begin; g < end; ++g) {
          changed |= keep[g] != before_[g - begin];
          if (keep[g]) each_moment(gaps_[g], [&](size_t t) { use_[t] += bytes(gaps_[g]); });
        }
      }
      if (!changed) return;
    }
  }

  Stays stays_of(const std::vector<uint8_t>& keep) const {
    Stays out;
    for (size_t i = 0; i < p_.pieces.size(); ++i) {
      const size_t n = p_.pieces[i].uses.size();
      const auto begin = keep.begin() + static_cast<std::ptrdiff_t>(first_gap_[i]);
      out.kept.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(n));
      if (!p_.pieces[i].persistent && n > 0) out.kept.back()[n - 1] = 0;
    }
    price_stays(p_, out);
    return out;
  }

  const StayProblem& p_;
  int rounds_;
  std::vector<Gap> gaps_;
  std::vector<size_t> first_gap_;
  std::vector<int64_t> room_, use_;              // for bridged gaps, by moment
  std::vector<double> price_, sums_;             // of a byte at a moment; prefix sums
  std::vector<double> rent_;                     // by gap
  std::vector<uint8_t> ways_, chosen_, before_;  // scratch
};

}  // namespace

Shortfall find_shortfall(const StayProblem& problem) {
  std::vector<int64_t> left = problem.capacity;
  for (const Piece& piece : problem.pieces)
    for (const PieceUse& use : piece.uses) left[static_cast<size_t>(use.at)] -= piece.bytes;
  Shortfall worst;
  for (size_t t = 0; t < left.size(); ++t)
    if (-left[t] > worst.bytes) worst = {static_cast<int>(t), -left[t]};
  return worst;
}

void price_stays(const StayProblem& problem, Stays& stays) {
  stays.bytes_read = stays.bytes_written = 0;
  for (size_t i = 0; i < problem.pieces.size(); ++i) {
    const Piece& piece = problem.pieces[i];
    const std::vector<uint8_t>& kept = stays.kept[i];
    const size_t n = piece.uses.size();
    if (n == 0) continue;
    // Twice round, so that what is dirty at the start is known; the second counts.
    bool dirty = false;
    for (int round = 0; round < 2; ++round) {
      int64_t read = 0, written = 0;
      for (size_t k = 0; k < n; ++k) {
        dirty |= piece.uses[k].writes;
        const bool last = k + 1 == n;
        if (last && !piece.persistent) {
          dirty = false;
          break;
        }
        if (kept[k]) continue;
        const PieceUse& next = piece.uses[last ? 0 : k + 1];
        if (next.reads) read += piece.bytes;
        // What the next use overwrites unread need not be kept, but between runs others may read it.
        if (dirty && (next.reads || last)) written += piece.bytes;
        dirty = false;
      }
      if (round == 1) {
        stays.bytes_read += read;
        stays.bytes_written += written;
      }
    }
  }
  stays.cost = problem.read_cost * static_cast<double>(stays.bytes_read) +
               problem.write_cost * static_cast<double>(stays.bytes_written);
}

Stays choose_stays(const StayProblem& problem, int rounds) {
  HOIST_CHECK(find_shortfall(problem).moment < 0, "the pieces of one moment do not fit");
  for (const Piece& piece : problem.pieces) {
    HOIST_CHECK(!piece.uses.empty(), "a piece without a use");
    for (size_t k = 1; k < piece.uses.size(); ++k)
      HOIST_CHECK(piece.uses[k - 1].at < piece.uses[k].at, "uses out of order");
  }
  return Solver(problem, rounds).solve();
}

}  // namespace hoist::plan
