// Runs one product under any schedule, on operands of its own.
//
// There are as many copies of the weights as it takes for them not to stay in the caches, and each run takes
// the next: in a model, everything else was read since a weight was read last.
#pragma once

#include <cstdint>
#include <memory>

#include "autotune/problem.h"
#include "device/device.h"
#include "kernels/cpu/gemm/gemm.h"

namespace hoist::autotune {

class Runner {
 public:
  // Throws Error(kResourceExhausted) when operands and scratch do not fit. `copies` 0: as many as said above.
  Runner(const Problem& problem, ThreadPool& pool, int copies = 0);
  const Problem& problem() const { return problem_; }
  void run(const GemmSchedule* schedule);
  // Seconds of one run, over as many as fill about `at_least`.
  double time(const GemmSchedule& schedule, double at_least);
  const std::byte* result() const { return c_.data(); }
  int64_t result_bytes() const;

 private:
  Problem problem_;
  ThreadPool& pool_;
  std::unique_ptr<device::Device> device_;
  device::Buffer x_, w_, c_, work_;
  int64_t copy_bytes_ = 0, copies_ = 1, next_ = 0, work_bytes_ = 0;
};

}  // namespace hoist::autotune
