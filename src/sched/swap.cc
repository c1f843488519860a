#include "sched/swap.h"

#include <algorithm>
#include <cmath>

namespace hoist::sched {

namespace {
constexpr int64_t kMemory = 64;  // arrivals that the means look back on
}

void execute_times(std::span<const int64_t> jobs, std::span<const double> quantum, int64_t width,
                   std::span<double> seconds) {
  double sum = 0;
  int64_t above = 0;
  for (size_t level = 0; level < jobs.size(); ++level) {
    // From queue 1 on, a job must burn the quantum of the queue before to get here.
    if (level > 1) sum += static_cast<double>(above) * quantum[level - 1];
    seconds[level] = sum / static_cast<double>(width);
    above += jobs[level];
  }
}

void plan_swaps(const BatchBuilder& batch, const State& state, int64_t reserve, int64_t most,
                std::vector<SwapCandidate>& device, std::vector<SwapCandidate>& host, Decision& decision) {
  auto blocks = [&](const SwapCandidate& c) { return state.sequences[static_cast<size_t>(c.slot)].blocks; };
  int64_t free = batch.free(), leaving = batch.leaving(), host_free = batch.host_free();
  if (device.empty() && host.empty()) return;
  std::sort(device.begin(), device.end());
  std::sort(host.begin(), host.end());
  auto send_off = [&] {  // the latest that the host has room for
    const SwapCandidate c = device.back();
    device.pop_back();
    if (blocks(c) > host_free) return;
    decision.swap_out.push_back(c.slot);
    host_free -= blocks(c);
    leaving += blocks(c);
  };
  while (free + leaving < reserve && !device.empty()) send_off();
  if (!decision.swap_out.empty()) return;
  for (size_t i = 0; i < host.size() && static_cast<int64_t>(i) < most; ++i) {
    const int64_t size = blocks(host[i]);
    if (free - size >= 2 * reserve) {
      decision.swap_in.push_back(host[i].slot);
      free -= size;
      continue;
    }
    // Makes room beside the steps to come, for one that is expected strictly sooner.
    while (free + leaving - size < 2 * reserve && !device.empty() && host[i].enst < device.back().enst)
      send_off();
    return;
  }
}

void BurstReserve::arrived(double now, int64_t blocks) {
  if (count_ > 0) {
    const double weight = 1.0 / static_cast<double>(std::min(count_, kMemory));
    gap_ += (now - last_ - gap_) * weight;
  }
  count_ = std::min(count_ + 1, kMemory + 1);
  size_ += (static_cast<double>(blocks) - size_) / static_cast<double>(std::min(count_, kMemory));
  last_ = now;
}

int64_t BurstReserve::blocks(const State& state, double seconds) const {
  const double most = static_cast<double>(state.device.total / 8);
  double wanted = static_cast<double>(state.limits.max_seqs);
  if (count_ > 1 && seconds > 0)
    wanted = std::max(wanted, gap_ * most > size_ * seconds ? size_ * seconds / gap_ : most);
  return static_cast<int64_t>(std::ceil(std::min(wanted, most)));
}

}  // namespace hoist::sched
