#include "sched/response_cache.h"

namespace hoist::sched {

std::string ResponseCache::key(std::span<const int32_t> ids, std::span<const int32_t> types, int task) {
  const auto n = static_cast<uint64_t>(ids.size());
  std::string out(reinterpret_cast<const char*>(&n), sizeof n);
  out.append(reinterpret_cast<const char*>(&task), sizeof task);
  out.append(reinterpret_cast<const char*>(ids.data()), ids.size_bytes());
  return out.append(reinterpret_cast<const char*>(types.data()), types.size_bytes());
}

const std::vector<float>* ResponseCache::find(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) {
    ++misses_;
    return nullptr;
  }
  ++hits_;
  recent_.splice(recent_.begin(), recent_, found->second);
  return &found->second->answer;
}

void ResponseCache::put(const std::string& key, std::vector<float> answer) {
  const int64_t needed = cost(key, answer);
  if (needed > budget_) return;
  if (const auto found = entries_.find(key); found != entries_.end()) {
    bytes_ -= cost(key, found->second->answer);
    recent_.erase(found->second);
    entries_.erase(found);
  }
  while (bytes_ + needed > budget_) {
    const Entry& last = recent_.back();
    bytes_ -= cost(last.key, last.answer);
    entries_.erase(last.key);
    recent_.pop_back();
  }
  recent_.push_front({key, std::move(answer)});
  entries_[key] = recent_.begin();
  bytes_ += needed;
}

}  // namespace hoist::sched
