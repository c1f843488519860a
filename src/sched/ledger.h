// Ledger: keeps the State that policies see, and carries out what they decide, in counts.
//
// The one place where sequences and blocks are accounted for: the simulator and an engine drive the same
// object, the engine moving its own block ids beside it. Every broken promise of a policy (a block given
// twice, a tier overdrawn, a sequence run that is not resident) is our bug and aborts. Single-threaded.
#pragma once

#include <vector>

#include "sched/state.h"

namespace hoist::sched {

class Ledger {
 public:
  Ledger(const Limits& limits, const StepCost& cost, int64_t device_blocks, int64_t host_blocks,
         double swap_block_seconds);

  const State& state() const { return state_; }
  int64_t live() const { return live_; }
  void set_now(double now) { state_.now = now; }

  // A request that admission() let in.
  Slot add(const Request& request);
  // Finished or cancelled: gives up its blocks. One whose transfer is under way keeps them, and its slot,
  // until end_transfer.
  void remove(Slot slot);

  // The parts of a Decision, one by one (state.h says in which order).
  void drop(Slot slot);  // also of what lies on the host, where it was lost
  void start_out(Slot slot);
  void start_in(Slot slot);
  void end_transfer(Slot slot);
  // Takes the blocks of a step's work.
  void begin(const std::vector<Work>& work);
  // So many of a sequence's next tokens are known from others (a prefix cache): they need no computing. After
  // begin(), at most left() - 1; the caller lessens the step's work by what is done so.
  void reuse(Slot slot, int64_t tokens);
  // A sequence of the step holds more blocks than planned, for guesses; false when so many are not free.
  bool grow(Slot slot, int64_t blocks);
  // The step is over: counts tokens as computed, and those that yield as generated. Does not remove.
  void end(const std::vector<Work>& work);

  // free + held == total in every tier, and what is derived agrees; for tests.
  void check() const;

 private:
  Sequence& at(Slot slot);
  void release(Slot slot);

  State state_;
  std::vector<Slot> vacant_;
  int64_t live_ = 0;
};

}  // namespace hoist::sched
