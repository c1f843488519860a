// Strategy: every choice of parallelism and precision in one plain value that a person can write as TOML.
//
//   microbatches = 1
//   precision = "f32"                      # storage of parameters: f32 or bf16 (with f32 masters)
//   [[mesh]]
//   name = "data"
//   size = 2
//   [[shard]]                              # first match wins
//   axis = "batch"
//   mesh = "data"
//   scope = ""                             # part of a scope or state name; "" matches all
//   role = "any"                           # any, parameter, activation
//
// Passes obey it and never choose. print and parse are exact inverses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/symbol.h"

namespace hoist::passes {

struct MeshDim {
  Symbol name;
  int size = 1;
};

struct ShardRule {
  Symbol axis, mesh;
  std::string scope;
  Symbol role = "any";
};

struct Strategy {
  std::vector<MeshDim> mesh;
  std::vector<ShardRule> rules;
  int microbatches = 1;
  DType precision = DType::f32;

  int ranks() const;
  // Index into mesh, or -1.
  int find_mesh(Symbol name) const;
  // This rank's coordinate along each mesh dimension; the last dimension varies fastest.
  std::vector<int> coordinates(int rank) const;
};

std::string print(const Strategy& strategy);
// Throws Error naming `source`, the line, what was found and what was expected.
Strategy parse_strategy(std::string_view toml, const std::string& source);

// Data parallel over `data` ranks, tensor parallel (heads, ffn, vocabulary) over `tensor` ranks.
Strategy data_and_tensor_parallel(int data, int tensor);

}  // namespace hoist::passes
