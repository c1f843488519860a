// What a process holds, for runs that keep to a memory budget.
#pragma once

#include <cstdint>

namespace hoist::train {

// Resident memory that is the process's own, in bytes, after the allocator gave back what it does not use.
// What is shared with files (the program itself) is not counted: the system may drop it.
int64_t held_bytes();

// Kept free beside plans and states: stacks of threads, buffers of files, the allocator's slack.
constexpr int64_t kBesidePlans = int64_t{20} << 20;

// The part of `budget` for plans and states, while the process holds `held` bytes besides them. Throws
// Error(kResourceExhausted) when nothing is left.
int64_t budget_for_plans(int64_t budget, int64_t held);

}  // namespace hoist::train
