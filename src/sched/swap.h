// Proactive KV swapping (FastServe, arXiv 2305.05920, section 4.2): which sequences' KV leaves the device and
// which returns, ahead of need, by estimated next scheduled time (ENST).
#pragma once

#include <span>
#include <vector>

#include "sched/batch.h"
#include "sched/state.h"

namespace hoist::sched {

// T_execute of the paper by queue: the time until all jobs of earlier queues have burnt their quanta down to
// it, `width` at a time: 1 / width * sum over jobs j of earlier queues of the quanta from j's queue to the
// one before. Index 0 is ahead of queue 1 (those promoted) and burns queue 1's quantum; sizes are equal.
void execute_times(std::span<const int64_t> jobs, std::span<const double> quantum, int64_t width,
                   std::span<double> seconds);

struct SwapCandidate {
  Slot slot = 0;
  double enst = 0;    // seconds until it is expected to run
  int64_t order = 0;  // of equal times the lower is expected first
  bool operator<(const SwapCandidate& o) const { return enst != o.enst ? enst < o.enst : order < o.order; }
};

// `device` and `host` hold the sequences whose KV lies there and that the step leaves alone; both are
// sorted here. While fewer than `reserve` blocks are free or about to be, the latest leaves the device; when
// none does, the soonest of at most `most` comes back as long as twice the reserve stays free (so that the
// next step does not send it off again). A soonest one without room sends off one that is expected later.
void plan_swaps(const BatchBuilder& batch, const State& state, int64_t reserve, int64_t most,
                std::vector<SwapCandidate>& device, std::vector<SwapCandidate>& host, Decision& decision);

// Blocks to keep free for a burst: what arrives in `seconds` at the rate seen, at least one step's batch and
// at most an eighth of the device.
class BurstReserve {
 public:
  void arrived(double now, int64_t blocks);
  int64_t blocks(const State& state, double seconds) const;

 private:
  double last_ = 0, gap_ = 0, size_ = 0;  // means over the latest arrivals
  int64_t count_ = 0;
};

}  // namespace hoist::sched
