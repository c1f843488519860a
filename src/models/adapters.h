// Low-rank adapters in serving graphs: y = W x + B (A x), with a pair (A, B) for each adapter and matrix, and
// for each token the adapter it asks for - many in one batch, and none for most (Hu et al., LoRA, arXiv
// 2106.09685; in one batch: Chen et al., Punica, arXiv 2310.18547).
//
// add_adapters rewrites any family's graph: every product with a matrix of a layer gets the low-rank part
// added. Tokens are sorted by adapter once, and each pair of products runs over its adapter's rows alone
// (ops/moe.h). A token without an adapter gets zeros added.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "models/lm.h"

namespace hoist::models {

struct AdapterShape {
  int64_t slots = 0;  // adapters that may be loaded at once; 0: none, and the graph stays as it is
  int64_t rank = 16;  // the largest; smaller ones are filled up with zeros
};

// A matrix that adapters may change, and the states that hold all slots' pairs for it.
struct AdapterTarget {
  std::string tensor;    // the checkpoint's name for the matrix
  std::string down, up;  // states: A f32[adapters, lora_rank, in...], B f32[adapters, out..., lora_rank]
  ir::Type down_type, up_type;
  int64_t in = 0, out = 0;  // sizes
  int64_t first_row = 0;    // of the tensor's rows (outputs) those from here on
};
// Matrices of linear layers that lie within the model's blocks.
std::vector<AdapterTarget> adapter_targets(const std::vector<Parameter>& parameters,
                                           const AdapterShape& shape);

// Three more inputs, i32: adapter_rows[adapter_rows?], the tokens that ask for an adapter, sorted by slot;
// adapter_counts[slots], how many ask for each; adapter_places[tokens?], where each token stands among them,
// -1 for those that ask for none.
ir::Graph add_adapters(const ir::Graph& serve, const std::vector<Parameter>& parameters,
                       const AdapterShape& shape);

}  // namespace hoist::models
