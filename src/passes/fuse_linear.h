// Finding products whose result goes straight into a scale, bias, activation, gate or residual
// (ops/linear.h).
#pragma once

#include <optional>
#include <span>

#include "ir/graph.h"
#include "ops/linear.h"

namespace hoist::passes {

struct LinearMatch {
  ops::LinearOperands operands;  // values of the graph that was searched
  ops::LinearAttrs attrs;
};

// The linear that makes `node`'s result, if node finishes a product that nothing else uses. `uses`: of every
// value.
std::optional<LinearMatch> match_linear(const ir::Graph& graph, std::span<const int> uses,
                                        const ir::Node& node);

}  // namespace hoist::passes
