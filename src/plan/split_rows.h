// Cuts instructions that touch more memory at once than a budget can spare into pieces of rows.
//
// By the axis rules: an instruction is cut along an axis that every result maps and that is outermost in
// whatever has it, so that a piece is a contiguous range of each tensor and computes the same bits. An
// optimizer's step of an embedding table is the usual case: parameter, gradient and moments together are
// several times the largest thing any product needs.
#pragma once

#include <cstdint>

#include "plan/plan.h"

namespace hoist::plan {

// Pieces of at most about `bytes` of operands and results, their borders on whole pages of every tensor where
// that is possible. Instructions that cannot be cut stay. `threads` as the plan's kernels were prepared for.
// Refs get byte offsets into their storage.
void split_rows(Plan& plan, int64_t bytes, int threads);

}  // namespace hoist::plan
