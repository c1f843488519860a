// decompose: replaces ops by their definition in simpler ops (OpDef::decompose).
#pragma once

#include "base/function_ref.h"
#include "ir/graph.h"
#include "passes/pass.h"

namespace hoist::passes {

// One level: each node for which `wanted` holds is replaced by its decomposition.
ir::Graph decompose_if(const ir::Graph& graph, FunctionRef<bool(const ir::Node&)> wanted);

// Until every op has a kernel. Throws Error naming the op that has neither kernel nor decomposition.
ir::Graph decompose_for_backend(const ir::Graph& graph, const KernelOracle& oracle);

}  // namespace hoist::passes
