#include "runtime/plan_cache.h"

namespace hoist::runtime {

const plan::Built& PlanCache::get(const ir::Graph& global, const passes::Strategy& strategy, int rank) {
  std::string key = ir::hash(global) + "/" + std::to_string(rank) + "/" + passes::print(strategy);
  auto& slot = plans_[key];
  if (slot)
    ++hits_;
  else
    slot = std::make_unique<plan::Built>(plan::build(global, table_, options_, strategy, rank));
  return *slot;
}

}  // namespace hoist::runtime
