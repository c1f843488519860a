#include "autotune/tune.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "autotune/runner.h"

namespace hoist::autotune {
namespace {

constexpr double kNoise = 0.005;       // a gain below this is none
constexpr double kFinalSeconds = 0.5;  // to compare the last few for

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> v) {
  if (v.empty()) return 0;
  const size_t half = v.size() / 2;
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(half), v.end());
  return v[half];
}

std::vector<double> ranks(const std::vector<double>& v) {
  std::vector<size_t> order(v.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return v[a] < v[b]; });
  std::vector<double> rank(v.size());
  for (size_t i = 0; i < order.size();) {
    size_t j = i;
    while (j < order.size() && v[order[j]] == v[order[i]]) ++j;
    for (size_t e = i; e < j; ++e) rank[order[e]] = 0.5 * static_cast<double>(i + j - 1);
    i = j;
  }
  return rank;
}

int differences(const GemmSchedule& a, const GemmSchedule& b) {
  return (a.columns != b.columns) + (a.rows != b.rows) + (a.few_rows != b.few_rows) + (a.loop != b.loop) +
         (a.split != b.split) + (a.side != b.side) + (a.prefetch != b.prefetch);
}

class Search {
 public:
  Search(const Problem& p, const Machine& machine, ThreadPool& pool, const TuneOptions& options,
         FunctionRef<void(int64_t, int64_t)> progress)
      : options_(options), progress_(progress), runner_(p, pool), space_(schedule_space(p)) {
    for (const GemmSchedule& s : space_) predicted_.push_back(predict(p, s, machine));
    order_.resize(space_.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](size_t a, size_t b) { return predicted_[a] < predicted_[b]; });
    score_.assign(space_.size(), 0);
  }

  TuneResult run() {
    const double start = now();
    TuneResult result;
    result.problem = runner_.problem();
    result.space = static_cast<int64_t>(space_.size());
    const int64_t budget = std::min<int64_t>(
        result.space,
        std::max<int64_t>(2, static_cast<int64_t>(options_.share * static_cast<double>(result.space))));
    turns_all_ = budget * options_.rounds + 4 * (2 * options_.rounds + 1);
    search(budget);
    const std::vector<size_t> final = finish();
    result.trials = trials_;
    result.schedule = space_[final[0]];
    result.predicted = predicted_[final[0]];
    result.seconds = score_[final[0]];
    result.default_seconds = score_[0];
    std::vector<double> expected, measured;
    for (size_t i = 0; i < space_.size(); ++i)
      if (score_[i] > 0) {
        expected.push_back(predicted_[i]);
        measured.push_back(score_[i]);
      }
    result.rank_correlation = rank_correlation(expected, measured);
    result.spent = now() - start;
    if (options_.exhaustive) result.exhaustive = exhaust(final[0]);
    return result;
  }

 private:
  // Times each of `list` in turns; medians of their seconds.
  std::vector<double> time(const std::vector<size_t>& list, int rounds) {
    std::vector<std::vector<double>> seconds(list.size());
    for (size_t i = 0; i < list.size(); ++i) runner_.run(&space_[list[i]]);
    std::vector<size_t> turn(list.size());
    std::iota(turn.begin(), turn.end(), size_t{0});
    for (int r = 0; r < rounds; ++r) {
      // Another order each round: a slow second of the machine must not meet the same ones again.
      for (size_t i = turn.size(); i > 1; --i) std::swap(turn[i - 1], turn[random() % i]);
      for (size_t i : turn) {
        seconds[i].push_back(runner_.time(space_[list[i]], options_.turn_seconds));
        ++turns_;
        progress_(turns_, std::max(turns_, turns_all_));
      }
    }
    std::vector<double> out;
    for (auto& s : seconds) out.push_back(median(std::move(s)));
    return out;
  }

  // Times what is new together with the fastest so far, by which times of other minutes are made comparable.
  void try_all(std::vector<size_t> list) {
    trials_ += static_cast<int64_t>(list.size());
    if (best_ == SIZE_MAX) {
      const std::vector<double> t = time(list, options_.rounds);
      for (size_t i = 0; i < list.size(); ++i) score_[list[i]] = t[i];
    } else {
      list.push_back(best_);
      const std::vector<double> t = time(list, options_.rounds);
      for (size_t i = 0; i + 1 < list.size(); ++i) score_[list[i]] = t[i] / t.back() * score_[best_];
    }
    for (size_t i : list)
      if (best_ == SIZE_MAX || score_[i] < score_[best_]) best_ = i;
  }

  void search(int64_t budget) {
    std::vector<size_t> list{0};  // the default is the first of the space
    const int64_t ranked = std::max<int64_t>(2, (budget * 3 + 4) / 5);
    for (size_t i : order_)
      if (i != 0 && static_cast<int64_t>(list.size()) < std::min(ranked, budget)) list.push_back(i);
    try_all(list);
    while (trials_ < budget) {
      // Neighbours first, by what the model expects of them, then whatever it expects most of.
      std::vector<size_t> next;
      const size_t most = static_cast<size_t>(std::min<int64_t>(4, budget - trials_));
      for (int distance : {1, 7})
        for (size_t i : order_)
          if (next.size() < most && score_[i] == 0 && differences(space_[i], space_[best_]) <= distance &&
              std::find(next.begin(), next.end(), i) == next.end())
            next.push_back(i);
      if (next.empty()) return;
      try_all(next);
    }
  }

  // The fastest three and the default once more, longer; the chosen one comes first.
  std::vector<size_t> finish() {
    std::vector<size_t> tried;
    for (size_t i = 0; i < space_.size(); ++i)
      if (score_[i] > 0) tried.push_back(i);
    std::sort(tried.begin(), tried.end(), [&](size_t a, size_t b) { return score_[a] < score_[b]; });
    tried.resize(std::min<size_t>(tried.size(), 3));
    if (std::find(tried.begin(), tried.end(), size_t{0}) == tried.end()) tried.push_back(0);
    const std::vector<double> t = time(tried, final_rounds(tried.size()));
    for (size_t i = 0; i < tried.size(); ++i) score_[tried[i]] = t[i];
    size_t chosen = 0;
    for (size_t i : tried)
      if (score_[i] < score_[chosen] && score_[i] < (1 - kNoise) * score_[0]) chosen = i;
    return {chosen};
  }

  // More where runs are short: what is decided here is a matter of one percent.
  int final_rounds(size_t count) const {
    const double round = static_cast<double>(count) * std::max(score_[0], options_.turn_seconds);
    const double fit = std::min(8.0 * options_.rounds, kFinalSeconds / std::max(round, 1e-6));
    return std::max(2 * options_.rounds + 1, static_cast<int>(fit)) | 1;
  }

  Exhaustive exhaust(size_t chosen) {
    Exhaustive e;
    std::vector<size_t> all(space_.size());
    std::iota(all.begin(), all.end(), size_t{0});
    const int rounds = std::max(3, options_.rounds / 2);
    turns_all_ += static_cast<int64_t>(all.size()) * rounds;
    const std::vector<double> t = time(all, rounds);
    e.rank_correlation = rank_correlation(predicted_, t);
    std::sort(all.begin(), all.end(), [&](size_t a, size_t b) { return t[a] < t[b]; });
    for (size_t i : all) e.all.push_back({space_[i], predicted_[i], t[i]});
    std::vector<size_t> finals(all.begin(),
                               all.begin() + static_cast<std::ptrdiff_t>(std::min<size_t>(all.size(), 6)));
    if (std::find(finals.begin(), finals.end(), chosen) == finals.end()) finals.push_back(chosen);
    const std::vector<double> f = time(finals, final_rounds(finals.size()));
    size_t best = 0, mine = 0;
    for (size_t i = 0; i < finals.size(); ++i) {
      if (f[i] < f[best]) best = i;
      if (finals[i] == chosen) mine = i;
    }
    e.best = space_[finals[best]];
    e.best_seconds = f[best];
    e.chosen_seconds = f[mine];
    e.gap = f[mine] / f[best] - 1;
    return e;
  }

  uint64_t random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ >> 16;
  }

  TuneOptions options_;
  FunctionRef<void(int64_t, int64_t)> progress_;
  Runner runner_;
  std::vector<GemmSchedule> space_;
  std::vector<double> predicted_, score_;  // score: seconds, comparable; 0: not timed
  std::vector<size_t> order_;
  size_t best_ = SIZE_MAX;
  uint64_t random_ = 0x9e3779b97f4a7c15u;
  int64_t trials_ = 0, turns_ = 0, turns_all_ = 0;
};

}  // namespace

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const size_t n = std::min(a.size(), b.size());
  if (n < 2) return 0;
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double mean = 0.5 * static_cast<double>(n - 1);
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < n; ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

TuneResult tune(const Problem& problem, const Machine& machine, ThreadPool& pool, const TuneOptions& options,
                FunctionRef<void(int64_t done, int64_t all)> progress) {
  return Search(problem, machine, pool, options, progress).run();
}

}  // namespace hoist::autotune
