// partition: the program of one rank. Every value gets a sharding from the strategy's rules and the ops' axis
// rules; local shapes, collectives and bases follow. It knows no op by name (Shardy's factors are the model:
// sharding is stated per op as axis rules, and this pass reads only those).
//
// Values are kept fully reduced: an axis merged across ranks is combined right after the op. Outputs are
// replicated.
#pragma once

#include "ir/graph.h"
#include "passes/strategy.h"

namespace hoist::passes {

// Per dimension of a tensor: index of the mesh dimension that splits it, or -1.
using Sharding = InlineVec<int8_t, 8>;

struct Partitioned {
  ir::Graph graph;               // Stage::kLocal
  std::vector<Sharding> inputs;  // per graph input
  std::vector<Sharding> states;  // per graph state
};

// The part of a whole tensor that a rank holds: per dimension an offset and a length.
struct Box {
  InlineVec<int64_t, 8> offset, length;
};
Box shard_box(const ir::Type& whole, const Sharding& sharding, const Strategy& strategy, int rank);

// Throws Error when a rule's axis does not divide by its mesh dimension.
Partitioned partition(const ir::Graph& graph, const Strategy& strategy, int rank);

}  // namespace hoist::passes
