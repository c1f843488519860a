// compile: from a lowered graph to a plan - kernels chosen, storage assigned by liveness, repeats rolled.
#pragma once

#include "ir/graph.h"
#include "kernels/kernel.h"
#include "plan/plan.h"

namespace hoist::plan {

struct CompileOptions {
  int threads = 1;
  bool roll_repeats = true;
  bool reuse_memory = true;  // off: every value has its own storage (debugging)
  // Bytes for the arena and all states together; what does not fit moves to disk and back (plan/staging.h).
  // 0: no limit. compile throws Error(kResourceExhausted) when even one instruction's operands do not fit.
  int64_t memory = 0;
  int64_t least_moved = int64_t{1} << 16;  // smaller storage stays in memory
};

// `graph` is at Stage::kLowered. Deterministic: the same graph, table and options give the same plan
// everywhere.
Plan compile(const ir::Graph& graph, const kernels::KernelTable& table, const CompileOptions& options);

// ---- the steps, for tests ----

// One instruction per node in graph order; tensors refer to "storages" (alias classes of values) by number.
struct Storage {
  int64_t bytes = 0;
  int first_use = 0, last_use = 0;  // instruction numbers, inclusive
  int64_t offset = -1;              // in the arena, filled by assign_offsets
  bool in_arena = true;
};
// Best-fit in order of first use with a free list; 64-byte aligned. Returns the arena's size.
int64_t assign_offsets(std::vector<Storage>& storages, bool reuse);

// Finds runs of equal instruction sequences whose refs step by constants, and rolls them.
void roll_repeats(Plan& plan);
// The inverse: every iteration written out. unroll(roll(p)) == p.
Plan unroll(const Plan& plan);

}  // namespace hoist::plan
