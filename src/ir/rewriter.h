// Rewriter: writes a new graph from an old one, node by node, mapping old values to new.
#pragma once

#include "ir/graph.h"

namespace hoist::ir {

class Rewriter {
 public:
  // Copies name, stage, inputs and states at once.
  explicit Rewriter(const Graph& from);

  const Graph& from() const { return from_; }
  Builder& builder() { return builder_; }
  // The new value of an old one (CHECK that it was mapped).
  ValueId map(ValueId old) const;
  bool mapped(ValueId old) const { return map_[old] != kNoValue; }
  void set(ValueId old, ValueId now) { map_[old] = now; }
  std::vector<ValueId> map(std::span<const ValueId> old) const;

  // Copies a node with mapped operands and records its results.
  void copy(const Node& node);
  // Records `now` as the node's results.
  void replace(const Node& node, std::span<const ValueId> now);
  // Copies outputs and updates, and hands the graph over.
  Graph finish();

 private:
  const Graph& from_;
  Graph to_;
  Builder builder_;
  std::vector<ValueId> map_;
};

}  // namespace hoist::ir
