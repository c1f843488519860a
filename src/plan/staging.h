// Staging: a plan that keeps to a memory budget, its storage moving between memory and disk.
//
// Storage of at least `least` bytes may leave memory: states, and values of the run (gradients, saved
// activations) alike. choose_stays (stays.h) decides which of them stay between their uses; every stay then
// gets a place in the arena, loads are issued as early as there is room, so that they overlap with what is
// computed before, and stores end before their memory is used again. All of it is decided here: a run only
// follows it. Small storage never moves.
//
// After PatrickStar (arXiv 2108.05818: the access trace decides what is evicted) and ZeRO-Infinity (arXiv
// 2104.07857: states on disk); here one mechanism serves parameters, optimizer states, gradients and
// activations, on the trace of the compiled plan instead of a traced step.
#pragma once

#include <vector>

#include "plan/compile.h"
#include "plan/plan.h"

namespace hoist::plan {

struct StagingOptions {
  int64_t memory = 0;                // bytes of the arena and of the states that never move
  int64_t least = int64_t{1} << 16;  // smaller storage never moves
};

// `plan` as compile has it before offsets are assigned: refs into the arena hold numbers of `storages`, whose
// `in_arena` says which of them lie there. Rewrites the refs, sets arena_bytes and staging. Throws
// Error(kResourceExhausted) that says by how many bytes the budget is too small and for which instruction.
void stage(Plan& plan, const std::vector<Storage>& storages, const StagingOptions& options);

}  // namespace hoist::plan
