// interpret: runs a graph node by node, each value in its own buffer. The oracle that tests compare plans,
// kernels and rewrites against: it has no liveness, no arena, no fusion, and so little to get wrong.
//
// An op without a kernel in the table is replaced by its decomposition first (again and again until every op
// has one); a view copies bytes; an op that works in place gets a copy of its operand. Single pass, no
// recursion. Throws Error for a missing or ill-typed binding, a live length out of range, and an op that
// nothing can run.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/threads.h"
#include "ir/graph.h"
#include "kernels/kernel.h"

namespace hoist::runtime {

// Bytes of one value, as many as the type's capacity. Of a live axis only the prefix is meaningful.
struct HostTensor {
  ir::Type type;
  std::vector<std::byte> data;

  HostTensor() = default;
  explicit HostTensor(const ir::Type& t) : type(t), data(static_cast<size_t>(t.bytes())) {}
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data.data());
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data.data());
  }
};

using Bindings = std::map<std::string, HostTensor>;

// Length of each live axis in this run; an axis that is not named is as long as its capacity.
struct LiveLength {
  ir::Axis axis;
  int64_t length;
};
using LiveLengths = std::vector<LiveLength>;

struct Interpreted {
  Bindings outputs;
  Bindings updates;  // new values by name of state; states without an update are not listed
};

Interpreted interpret(const ir::Graph& graph, const Bindings& inputs, const Bindings& states,
                      const kernels::KernelTable& table, ThreadPool& pool, const LiveLengths& live = {});

// Replaces every node that `table` has no kernel for by its decomposition, until none is left. Throws
// Error(kUnsupported) naming an op that has neither.
ir::Graph expand_for(const ir::Graph& graph, const kernels::KernelTable& table);

// One call of one kernel on tensors that are already there: prepares, allocates the workspace, runs.
void run_kernel(const kernels::Kernel& kernel, const ir::OpView& view,
                std::span<const kernels::TensorView> operands, std::span<const kernels::TensorView> results,
                ThreadPool& pool);

}  // namespace hoist::runtime
