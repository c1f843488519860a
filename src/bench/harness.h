// Times cases: ceiling, ours, each peer, again and again in turns; medians of the values, and of the ratios
// within a round.
#pragma once

#include <string>
#include <vector>

#include "base/function_ref.h"
#include "bench/ceilings.h"
#include "bench/row.h"

namespace hoist::bench {

struct HarnessOptions {
  std::string filter;           // a case runs when its name or shape contains this; empty: all
  int rounds = 7;               // turns of each participant
  double turn_seconds = 0.015;  // of one turn at least
};

// Runs what the filter lets through, in order; a case without a kernel of ours gives a row with a note and no
// value. `done` is called after each with its row and how far the list is (1 of `total`).
std::vector<Row> run_cases(const std::vector<Case>& cases, const HarnessOptions& options,
                           const Setting& setting, Ceilings& ceilings,
                           FunctionRef<void(const Row&, int64_t at, int64_t total)> done);

}  // namespace hoist::bench
