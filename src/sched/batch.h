// BatchBuilder: from an order of priority to a step's work, within the limits on sequences, tokens and
// memory.
//
// Every policy is an order; this is what they share. A policy offers sequences from the first on. Decoded
// rows come first (one token each), pieces of prompts share what is left of the step's tokens in the order
// offered (chunked prefill). A sequence holds blocks for all its tokens and the next from its first piece on.
// When blocks are short, those that were not offered yet, which come later in the order, lose theirs:
// dropped, or swapped out with the step waiting (reactive), or swapped out beside it, the sequence then
// having its turn once they are out (proactive). Who still finds no room closes the step to all later ones
// that need blocks: nobody overtakes by being smaller. Bringing KV back costs time; for newcomers' sake at
// most a tenth of the machine's time is spent so, after which they wait for what ends. Without that bound
// preemption under a shortage of memory is slower than none.
#pragma once

#include <vector>

#include "base/function_ref.h"
#include "sched/state.h"

namespace hoist::sched {

enum class KvMode : uint8_t {
  kRecompute,  // KV is dropped and computed again
  kReactive,   // swapped when needed, the engine waiting
  kProactive,  // swapped ahead of need, beside the steps
};

class BatchBuilder {
 public:
  // With `reserve` a sequence takes blocks for its longest answer at once (Orca): it never loses them.
  BatchBuilder(KvMode mode, bool reserve) : mode_(mode), reserve_(reserve) {}

  // Fills in sequences that lie on the device, the first to lose its KV first; asked at most once a step.
  // Those that may not lose theirs are passed over.
  using Victims = FunctionRef<void(std::vector<Slot>&)>;

  void begin(const State& state, Decision& decision);
  // Offers the next in order of priority. False: the batch is full, offer no more.
  bool offer(Slot slot, Victims victims);
  void finish();

  // Device blocks that are free once the work runs, and those that transfers will free beyond what somebody
  // waits for.
  int64_t free() const { return free_; }
  int64_t leaving() const { return leaving_; }
  int64_t host_free() const { return host_free_; }
  // In the step, or losing or moving its KV because of it.
  bool taken(Slot slot) const { return mark_[static_cast<size_t>(slot)] >= 2 * epoch_ + 1; }

 private:
  bool offered(Slot slot) const { return mark_[static_cast<size_t>(slot)] >= 2 * epoch_; }
  bool make_room(int64_t blocks, Victims victims);
  void evict(Slot slot);

  KvMode mode_;
  bool reserve_;
  const State* state_ = nullptr;
  Decision* decision_ = nullptr;
  uint64_t epoch_ = 0;
  std::vector<uint64_t> mark_;  // by slot: 2 epoch when offered, one more when taken
  std::vector<Work> members_;
  std::vector<Slot> victims_;
  size_t next_victim_ = 0;
  int64_t free_ = 0, leaving_ = 0, host_free_ = 0, decodes_ = 0, prefill_ = 0;
  double credit_ = 0, last_now_ = 0;  // seconds that evictions may yet cost
  bool listed_ = false, blocked_ = false, closed_ = false;
};

// Offers all of `order`, first to last, between begin() and finish(); the last is the first to lose its KV.
void offer_all(BatchBuilder& batch, const std::vector<Slot>& order);

}  // namespace hoist::sched
