// Whole equals pieces: an op run on contiguous pieces of one axis, its results put together as the axis rule
// says.
#pragma once

#include "ir/rules.h"
#include "ops/cases.h"

namespace hoist::testing {

// Borders of `pieces` uneven pieces, multiples of the rule's grain: {0, .., extent}. Empty when the axis is
// too short.
std::vector<int64_t> uneven_cuts(const ir::AxisRule& rule, int pieces);

// Runs the pieces and combines their results. Results that the rule says are the same from any piece are
// compared here, and a difference is written to `problem`.
Tensors run_pieces(const Case& c, const ir::AxisRule& rule, const std::vector<int64_t>& cuts,
                   const kernels::KernelTable& table, std::string* problem);

// Whether result i of the pieces must have the very bits of the whole on the reference kernels.
bool exact_in_pieces(const ir::AxisRule& rule, int result);

}  // namespace hoist::testing
