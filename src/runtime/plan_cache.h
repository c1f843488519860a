// PlanCache: plans by the hash of the graph they were built from, so that a shape is planned once.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "plan/build.h"

namespace hoist::runtime {

// One backend and one set of options per cache. Not thread-safe.
class PlanCache {
 public:
  PlanCache(const kernels::KernelTable& table, const plan::BuildOptions& options)
      : table_(table), options_(options) {}

  // The plan of `global` for this rank; built on first use. Valid while the cache lives.
  const plan::Built& get(const ir::Graph& global, const passes::Strategy& strategy = {}, int rank = 0);
  int64_t hits() const { return hits_; }
  int64_t misses() const { return static_cast<int64_t>(plans_.size()); }

 private:
  const kernels::KernelTable& table_;
  plan::BuildOptions options_;
  std::map<std::string, std::unique_ptr<plan::Built>> plans_;
  int64_t hits_ = 0;
};

}  // namespace hoist::runtime
