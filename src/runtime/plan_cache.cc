#include "runtime/plan_cache.h"

namespace hoist::runtime {

const plan::Built& PlanCache::get(const ir::Graph& global, const passes::Strategy& strategy, int rank) {
  std::string key = ir::hash(global) + "/" + std::to_string(rank) + "/" + passes::print(strategy);
  if (auto it = plans_.find(key); it != plans_.end()) {
    ++hits_;
    return *it->second;
  }
  auto built = std::make_unique<plan::Built>(plan::build(global, table_, options_, strategy, rank));
  return *plans_.emplace(std::move(key), std::move(built)).first->second;
}

}  // namespace hoist::runtime
