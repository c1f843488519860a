// Finding a schedule: the model ranks the whole space, the best few are timed, and the search goes on among
// the neighbours of what was fastest, until a twentieth of the space has been tried.
#pragma once

#include <optional>
#include <vector>

#include "autotune/problem.h"
#include "base/function_ref.h"

namespace hoist::autotune {

struct TuneOptions {
  double share = 0.05;         // of the space is timed at most; two schedules at least
  int rounds = 11;             // turns of each, all interleaved; medians
  double turn_seconds = 2e-4;  // of one turn at least
  bool exhaustive = false;     // then time the whole space too
};

// What the whole space says, every schedule timed in turns; the fastest few and the chosen one once more.
struct Trial {
  GemmSchedule schedule;
  double predicted = 0, seconds = 0;
};
struct Exhaustive {
  std::vector<Trial> all;  // fastest first
  GemmSchedule best;
  double best_seconds = 0, chosen_seconds = 0;  // side by side
  double gap = 0;                               // chosen over best, minus 1
  double rank_correlation = 0;                  // Spearman's, of predicted and measured times
};

struct TuneResult {
  Problem problem;
  int64_t space = 0, trials = 0;
  GemmSchedule schedule;  // the default, unless another was faster by more than noise
  double predicted = 0;   // what the model said of it
  double seconds = 0, default_seconds = 0;
  double rank_correlation = 0;  // of the model over what was timed
  double spent = 0;             // seconds of the search, without the exhaustive one
  std::optional<Exhaustive> exhaustive;
};

// `progress` is told how many turns are done, of how many known so far.
TuneResult tune(const Problem& problem, const Machine& machine, ThreadPool& pool, const TuneOptions& options,
                FunctionRef<void(int64_t done, int64_t all)> progress);

// Spearman's rank correlation; ties share their rank. 0 for fewer than two pairs.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace hoist::autotune
