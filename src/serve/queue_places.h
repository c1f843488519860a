// QueuePlaces: how many choices may wait for an engine, in all and of one tenant. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/error.h"

namespace hoist::serve {

class QueuePlaces {
 public:
  // `most_of_one` does not bind scope 0, which is everybody where there are no keys; 0: any number.
  QueuePlaces(int64_t most, int64_t most_of_one) : most_(most), most_of_one_(most_of_one) {}

  // Throws Error(kResourceExhausted) when so many are not free.
  void take(uint64_t scope, int64_t n) {
    const std::lock_guard lock(mutex_);
    if (taken_ + n > most_)
      throw Error(ErrorCode::kResourceExhausted,
                  "the queue is full: " + std::to_string(most_) + " requests are waiting");
    if (scope != 0 && most_of_one_ > 0) {
      int64_t& own = by_scope_[scope];
      if (own + n > most_of_one_)
        throw Error(ErrorCode::kResourceExhausted, "the queue is full for you: " + std::to_string(own) +
                                                       " requests of yours are waiting, expected at most " +
                                                       std::to_string(most_of_one_));
      own += n;
    }
    taken_ += n;
  }
  void give(uint64_t scope, int64_t n) {
    const std::lock_guard lock(mutex_);
    taken_ -= n;
    if (const auto own = by_scope_.find(scope); own != by_scope_.end()) own->second -= n;
  }

 private:
  const int64_t most_, most_of_one_;
  std::mutex mutex_;
  int64_t taken_ = 0;
  std::unordered_map<uint64_t, int64_t> by_scope_;  // as many as there are tenants
};

}  // namespace hoist::serve
