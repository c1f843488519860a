// Executor: runs a Plan. It allocates the arena once; a run takes no decisions and allocates nothing.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "comm/group.h"
#include "device/device.h"
#include "plan/plan.h"
#include "runtime/state.h"
#include "runtime/trace.h"

namespace hoist::runtime {

// Everything a plan needs to run on, handed in; nothing is global.
struct ExecutorContext {
  device::Device& device;
  ThreadPool& pool;
  StateStore& states;
  std::map<std::string, comm::Group*> groups = {};  // by mesh dimension, for collectives
  Trace* trace = nullptr;                           // records one row per instruction when set
  // Several plans that never run at once may share one arena of the largest size; nullptr: its own.
  std::shared_ptr<device::Buffer> shared_arena = nullptr;
};

struct RunStats {
  int64_t runs = 0, launches = 0;
  int64_t bytes_read = 0, bytes_written = 0;  // of operands and results, at their live lengths
};

class Executor {
 public:
  // Declares the plan's states in the store. The plan and everything in the context outlive the executor.
  Executor(const plan::Plan& plan, const ExecutorContext& context);

  // The caller's memory for an input, of its full capacity; read during run(). Every input must be bound.
  void bind_input(std::string_view name, const void* data);
  // This run's length of a live axis, 0..capacity (CHECK).
  void set_length(ir::Axis axis, int64_t length);

  // Runs the plan once. Kernels do not fail; a collective throws Error when another rank has failed.
  void run();

  // An output of the last run, cut to its live length. Valid until the next run (of any plan on the same
  // arena).
  kernels::TensorView output(std::string_view name) const;
  const plan::Plan& plan() const { return plan_; }
  const RunStats& stats() const { return stats_; }
  int64_t arena_bytes() const { return arena_->bytes(); }

 private:
  struct Slot {
    plan::Ref ref;
    kernels::TensorView view;
    int live = -1;       // index into lengths_
    bool moves = false;  // its address depends on the iteration
  };
  struct Call {
    const plan::Instruction* instruction;
    int first_slot, operands, results;
    bool moves = false;                         // one of its slots does
    bool empty = false;                         // nothing to write: no result has live elements
    int64_t bytes_read = 0, bytes_written = 0;  // at the lengths of this run
  };
  Slot make_slot(const plan::Tensor& tensor);
  // Brings views_, calls_ and output_slots_ up to the lengths and inputs that changed since the last run.
  void refresh();
  std::byte* address(const plan::Ref& ref, int iteration) const;
  void launch(Call& call, int iteration);
  void run_staged();
  void collective(const plan::Instruction& ins, const kernels::TensorView* operands,
                  const kernels::TensorView* results);

  const plan::Plan& plan_;
  ExecutorContext context_;
  std::shared_ptr<device::Buffer> arena_;
  std::vector<std::byte*> state_data_;
  std::vector<const std::byte*> input_data_;
  std::vector<std::pair<ir::Axis, int64_t>> lengths_;  // live axis -> this run's length
  std::vector<int64_t> capacities_;
  std::vector<Slot> slots_;
  std::vector<Call> calls_;
  std::vector<Slot> output_slots_;
  std::vector<kernels::TensorView> views_;  // of slots_, addresses of iteration 0 or of the last launch
  bool stale_ = true;                       // lengths or inputs have changed
  int64_t scratch_home_ = -1;               // in the disk tier, of values that move
  std::vector<uint64_t> tickets_;           // of this run's transfers
  std::vector<std::byte> sent_, received_;  // pieces of collectives, where they are strided in their tensors
  RunStats stats_;
};

}  // namespace hoist::runtime
