// autodiff: reverse-mode differentiation of a whole graph.
//
// Adds, for every state that wants a gradient, an output "grad.<state>" holding d(loss)/d(state), where
// `loss` is a scalar output. Ops without a gradient are decomposed first. Gradients of 16-bit states are f32.
#pragma once

#include "ir/graph.h"

namespace hoist::passes {

// Throws Error if an op on the path has neither gradient nor decomposition, or `loss` is not a float scalar.
ir::Graph autodiff(const ir::Graph& graph, std::string_view loss);

// The name of the output that holds a state's gradient.
std::string grad_name(std::string_view state);

}  // namespace hoist::passes
