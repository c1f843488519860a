// Plan: a linear program over storage, ready to run without decisions.
//
// An instruction is one kernel (or collective) call on operands that live at fixed offsets of an arena, of a
// state, or of a caller's input. Runs of instructions that repeat with constant steps of their offsets
// (identical layers, micro-batches) are rolled into `repeat` blocks. A plan is its own access trace: peak
// memory is read off it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "kernels/kernel.h"

namespace hoist::plan {

enum class Space : uint8_t { kArena, kState, kInput };

// Where a tensor lives. In a repeat block, iteration i adds i * step (bytes in the arena, indices of states).
struct Ref {
  Space space = Space::kArena;
  int32_t index = 0;       // state or input number; 0 for the arena
  int64_t offset = 0;      // bytes into it
  int64_t step = 0;        // arena: bytes per iteration
  int32_t index_step = 0;  // states: numbers per iteration
  friend bool operator==(const Ref&, const Ref&) = default;
};

struct Tensor {
  Ref ref;
  ir::Type type;
};

struct Instruction {
  const ir::OpDef* op = nullptr;
  ir::Attrs attrs;
  std::vector<Tensor> operands, results;
  Ref workspace;  // arena
  int64_t workspace_bytes = 0;
  const kernels::Kernel* kernel = nullptr;  // nullptr: a collective
  kernels::Prepared prepared;
  Symbol scope;  // of the first iteration
};

// Instructions [first, first + length) run `count` times.
struct Repeat {
  int first = 0, length = 0, count = 1;
};

struct StateSlot {
  std::string name;
  ir::Type type;
  ir::Role role;
  ir::Tier tier;
};
struct InputSlot {
  std::string name;
  ir::Type type;
};
struct OutputSlot {
  std::string name;
  Tensor tensor;
};

struct Plan {
  std::string name;
  std::string graph_hash;
  std::vector<Instruction> instructions;
  std::vector<Repeat> repeats;  // disjoint, in order
  std::vector<StateSlot> states;
  std::vector<InputSlot> inputs;
  std::vector<OutputSlot> outputs;
  int64_t arena_bytes = 0;
  int threads = 1;  // workspaces were sized for this many

  int64_t state_bytes() const;
  // Instructions executed by one run, repeats unrolled.
  int64_t launches() const;
};

// Human-readable: one line per instruction with storage, kernel variant and repeats.
std::string print(const Plan& plan);

}  // namespace hoist::plan
