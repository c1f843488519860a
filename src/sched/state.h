// What a scheduling policy sees and what it decides: requests, sequences, memory tiers, a step's work.
//
// Plain data. Times are seconds on one clock that the driver owns (a real engine's or a simulator's);
// policies read it from State::now and have none of their own. Memory is counted in KV blocks of
// `Limits::block` tokens; which blocks those are is the driver's business.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sched/step_cost.h"

namespace hoist::sched {

using Slot = int32_t;  // index into State::sequences; reused once its sequence is gone
constexpr int64_t kUnknownLength = -1;

struct Request {
  uint64_t id = 0;
  double arrival = 0;
  int64_t prompt_tokens = 1;               // at least 1
  int64_t max_tokens = 1;                  // of output; at least 1
  int64_t output_tokens = kUnknownLength;  // what it will be, where that is known (an oracle, a replay)
  int32_t tenant = 0;
  int32_t priority = 0;  // lower runs earlier; for the policy `priority`, the others do not look at it
};

// Where a sequence's keys and values lie.
enum class KvPlace : uint8_t {
  kNone,      // nowhere: not begun, or dropped and to be computed again
  kDevice,    // may run
  kHost,      // swapped out
  kLeaving,   // device to host, under way: holds blocks of both
  kArriving,  // host to device, under way: holds blocks of both
};

struct Sequence {
  Request request;
  int64_t generated = 0;
  int64_t computed = 0;  // tokens whose keys and values exist
  int64_t blocks = 0;    // held (in each tier that `place` names)
  KvPlace place = KvPlace::kNone;
  bool live = false;

  int64_t target() const { return request.prompt_tokens + generated; }  // computed == target yields a token
  int64_t left() const { return target() - computed; }
  bool decoding() const { return generated > 0 && left() == 1; }  // else prompt (or dropped) tokens are left
};

struct Tier {
  int64_t total = 0, free = 0;  // blocks
};

struct Limits {
  int64_t max_seqs = 16;           // sequences in one step
  int64_t step_tokens = 256;       // tokens in one step; at least max_seqs
  int64_t block = 16;              // tokens per KV block
  int64_t max_waiting = 0;         // sequences that hold no KV yet; 0: any number
  int64_t max_tenant_waiting = 0;  // of those, one tenant's; 0: any number

  int64_t blocks_for(int64_t tokens) const { return (tokens + block - 1) / block; }
};

// One sequence's part of a step.
struct Work {
  Slot slot = 0;
  int64_t tokens = 0;   // of its own, from `computed` on
  int64_t blocks = 0;   // of the device that it holds during the step
  bool decode = false;  // one row; else a piece of its prompt
  bool yields = false;  // computes its last token, so one is sampled
  int64_t extra = 0;  // more tokens that the step turned out to yield (guesses that held); set by the driver
};

struct State {
  double now = 0;
  std::vector<Sequence> sequences;  // by slot; look at live ones only
  int64_t waiting = 0;              // live sequences without KV that have yielded nothing
  Tier device, host;
  int64_t leaving = 0;          // device blocks that transfers under way will free
  std::vector<Slot> last_work;  // of the step before, without what has finished since
  Limits limits;
  StepCost cost;
  double swap_block_seconds = 0;  // one block over the link, one way
};

// What to do before and in the next step. Without wait_for_swaps the driver drops, starts the transfers and
// runs the step beside them; with it, it lets swap_out end, then swap_in, then runs the step.
struct Decision {
  std::vector<Work> work;       // decoded rows first, then pieces of prompts by priority
  std::vector<Slot> preempted;  // ran last, could run on, and does not; its KV stays unless listed below
  std::vector<Slot> drop;       // its KV is given up; all of it is computed again
  std::vector<Slot> swap_out, swap_in;
  bool wait_for_swaps = false;

  void clear() {
    work.clear();
    preempted.clear();
    drop.clear();
    swap_out.clear();
    swap_in.clear();
    wait_for_swaps = false;
  }
};

enum class Refusal : uint8_t {
  kNone,
  kTooLong,    // prompt and longest answer need more blocks than the device has
  kQueueFull,  // Limits::max_waiting, or max_tenant_waiting
};

// Live sequences of a tenant without KV that have yielded nothing.
inline int64_t tenant_waiting(const State& s, int32_t tenant) {
  int64_t n = 0;
  for (const Sequence& q : s.sequences)
    n += q.live && q.place == KvPlace::kNone && q.generated == 0 && q.request.tenant == tenant;
  return n;
}

// Whether a request may join at all; the driver asks before Policy::add.
inline Refusal admission(const State& s, const Request& r) {
  if (r.prompt_tokens > s.device.total * s.limits.block - r.max_tokens) return Refusal::kTooLong;
  if (s.limits.max_waiting > 0 && s.waiting >= s.limits.max_waiting) return Refusal::kQueueFull;
  if (s.limits.max_tenant_waiting > 0 && tenant_waiting(s, r.tenant) >= s.limits.max_tenant_waiting)
    return Refusal::kQueueFull;
  return Refusal::kNone;
}

}  // namespace hoist::sched
