// fuse: replaces small patterns by one fused op that the backend has a kernel for. Optional: results agree to
// rounding, and each fused op's decomposition is the pattern it replaces.
#pragma once

#include "ir/graph.h"
#include "passes/pass.h"

namespace hoist::passes {

// mul(silu(g), u) -> swiglu(g, u);  affine(affine(x)) -> affine(x);  cast(cast(x)) through a wider type ->
// cast(x);  a product, and the scale, bias, activation, gate and residual that follow it, -> linear
// (fuse_linear.h).
ir::Graph fuse(const ir::Graph& graph, const KernelOracle& oracle);

}  // namespace hoist::passes
