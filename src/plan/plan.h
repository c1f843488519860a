// Plan: a linear program over storage, ready to run without decisions.
//
// An instruction is one kernel (or collective) call on operands that live at fixed offsets of an arena, of a
// state, or of a caller's input. Runs of instructions that repeat with constant steps of their offsets
// (identical layers, micro-batches) are rolled into `repeat` blocks. A plan is its own access trace: peak
// memory is read off it.
#pragma once

#include <cstdint>
#include <memory>
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

// What a plan under a memory budget does beside computing: pieces of storage move between the arena and their
// homes on disk (plan/staging.h). Such a plan has no repeats, and a state that moves has an arena offset in
// every instruction, as its place may differ from one use to the next.
struct Staging {
  struct Piece {
    int state = -1;  // index into Plan::states; -1: a value of this run
    int64_t bytes = 0;
    int64_t home = 0;  // where it begins: in the state, or for a value in the scratch file
  };
  struct Transfer {
    bool store = false;  // else a load
    int piece = 0;
    int64_t offset = 0;      // in the arena
    int issue = 0;           // may start once the instructions before this one have run
    std::vector<int> after;  // transfers that must have ended before it starts
  };
  // Stays from one run to the next.
  struct Carried {
    int piece = 0;
    int64_t offset = 0;
    bool dirty = false;  // its home is out of date
  };
  std::vector<Piece> pieces;
  std::vector<Transfer> transfers;      // by rising `issue`
  std::vector<std::vector<int>> waits;  // by instruction: transfers that must have ended before it starts
  std::vector<Carried> carried;
  int64_t scratch_bytes = 0;                  // of the scratch file
  int64_t bytes_read = 0, bytes_written = 0;  // by a run in the steady state
  double bound = 0;                           // bytes that no choice of stays moves fewer than
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
  int threads = 1;                         // workspaces were sized for this many
  std::shared_ptr<const Staging> staging;  // nullptr: everything stays in memory

  int64_t state_bytes() const;
  // Instructions executed by one run, repeats unrolled.
  int64_t launches() const;
};

// Human-readable: one line per instruction with storage, kernel variant and repeats.
std::string print(const Plan& plan);

}  // namespace hoist::plan
