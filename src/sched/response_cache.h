// ResponseCache: answers by what was asked, the least recently used leaving first when a budget of bytes is
// full. Pure and without locks.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace hoist::sched {

class ResponseCache {
 public:
  explicit ResponseCache(int64_t budget_bytes) : budget_(budget_bytes) {}

  // A key that only the same ids and types, asked in the same way, have.
  static std::string key(std::span<const int32_t> ids, std::span<const int32_t> types, int task);

  // nullptr when unknown; valid until the next put.
  const std::vector<float>* find(const std::string& key);
  // An answer larger than the whole budget is not kept.
  void put(const std::string& key, std::vector<float> answer);

  int64_t bytes() const { return bytes_; }
  size_t size() const { return entries_.size(); }
  int64_t hits() const { return hits_; }
  int64_t misses() const { return misses_; }

 private:
  struct Entry {
    std::string key;
    std::vector<float> answer;
  };
  static constexpr int64_t kOverhead = 160;  // of an entry's list and table nodes, about
  static int64_t cost(const std::string& key, const std::vector<float>& answer) {
    return kOverhead + 2 * static_cast<int64_t>(key.size()) + 4 * static_cast<int64_t>(answer.size());
  }

  int64_t budget_, bytes_ = 0, hits_ = 0, misses_ = 0;
  std::list<Entry> recent_;  // the latest first
  std::unordered_map<std::string, std::list<Entry>::iterator> entries_;
};

}  // namespace hoist::sched
