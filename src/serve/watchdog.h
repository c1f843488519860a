// Notices an engine that has work and takes no step: a hung kernel, a lost device.
//
// StallDetector decides, from numbers and a clock that it is given; Watchdog asks an engine a few times per
// limit on a thread of its own and tells when the verdict changes.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "serve/engine_load.h"

namespace hoist::serve {

class StallDetector {
 public:
  explicit StallDetector(double limit_seconds) : limit_(limit_seconds) {}
  // Whether the engine has had work without a step for the limit, as seen at `now` (seconds, monotonic).
  bool update(const EngineLoad& load, double now);

 private:
  const double limit_;
  int64_t steps_ = -1;
  double since_ = 0;  // of the last progress seen
};

class Watchdog {
 public:
  // `changed(true)` when the engine stalls, `changed(false)` when it moves again; both are called on the
  // watchdog's thread and outlive it.
  Watchdog(double limit_seconds, std::function<EngineLoad()> look, std::function<void(bool)> changed);
  ~Watchdog();

 private:
  void watch();

  const double limit_;
  const std::function<EngineLoad()> look_;
  const std::function<void(bool)> changed_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace hoist::serve
