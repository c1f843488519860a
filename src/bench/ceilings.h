// Ceilings: what this machine can do, measured beside everything else.
//
// A shared machine is not the same machine from one second to the next, so a share means something only
// against a ceiling of the same moment: every bench takes samples between its own runs, and medians of both
// make the share. A sample takes a few milliseconds.
#pragma once

#include <array>
#include <optional>

#include "base/function_ref.h"
#include "bench/op_run.h"
#include "bench/probes.h"
#include "bench/row.h"

namespace hoist::bench {

class Ceilings {
 public:
  // Samples run on all threads of `pool` at once. `bytes`: of the memory that is walked, far more than the
  // caches hold; 0: eight times the last-level cache and 256 MiB at least.
  Ceilings(kernels::Isa isa, ThreadPool& pool, int64_t bytes = 0);

  int threads() const { return pool_.threads(); }
  int64_t bytes() const { return bytes_; }  // of the memory that is walked
  // Operations per second, 2 per multiply-add.
  double fma(Arithmetic arithmetic);
  // Bytes per second; a copy counts what it reads and what it writes, and so does an update.
  double memory(Memory kind);
  // The shortest time that this work could take, by samples taken now: the longer of its operations at the
  // peak and its bytes at the bandwidths.
  double seconds(const Work& work);
  // The way to walk memory that was found fastest.
  const char* chosen(Memory kind);

 private:
  double walk(const MemoryProbe& probe);

  kernels::Isa isa_;
  ThreadPool& pool_;
  int64_t bytes_;
  std::optional<HostMemory> memory_;
  std::array<const MemoryProbe*, 4> chosen_ = {};
};

// Bytes of the last-level cache: what a working set must exceed before its bytes count as memory traffic.
int64_t cache_bytes();

// Seconds on the monotonic clock.
double now();
// Takes a sample again, a few times at most, while other programs pushed one of our threads off its core
// during it; gives the sample that was disturbed least. The same for ours, for ceilings and for peers.
double calmest(FunctionRef<double()> sample);
double median(std::vector<double> values);  // 0 for none
// Median of a[i] / b[i]. A machine may be two machines in one minute (a neighbour on the other half of a
// core), so what was measured side by side is compared side by side. 0 for none.
double median_ratio(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace hoist::bench
