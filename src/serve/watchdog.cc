#include "serve/watchdog.h"

#include <chrono>

namespace hoist::serve {

bool StallDetector::update(const EngineLoad& load, double now) {
  if (!load.busy || load.steps != steps_) {
    steps_ = load.steps;
    since_ = now;
    return false;
  }
  return now - since_ >= limit_;
}

Watchdog::Watchdog(double limit_seconds, std::function<EngineLoad()> look, std::function<void(bool)> changed)
    : limit_(limit_seconds),
      look_(std::move(look)),
      changed_(std::move(changed)),
      thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Watchdog::watch() {
  StallDetector detector(limit_);
  bool stalled = false;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, std::chrono::duration<double>(limit_ / 4), [&] { return stopping_; })) {
    const double now =
        std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    const bool verdict = detector.update(look_(), now);
    if (verdict != stalled) changed_(stalled = verdict);
  }
}

}  // namespace hoist::serve
