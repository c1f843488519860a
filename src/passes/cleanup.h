// cleanup: removes nodes whose results nobody uses, merges equal nodes, drops ops that do nothing.
#pragma once

#include "ir/graph.h"

namespace hoist::passes {

// Outputs, updates and in-place ops' effects are kept exactly. Order of the remaining nodes is kept.
ir::Graph cleanup(const ir::Graph& graph);

}  // namespace hoist::passes
