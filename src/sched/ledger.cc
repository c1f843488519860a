#include "sched/ledger.h"

#include <algorithm>

#include "base/check.h"

namespace hoist::sched {

Ledger::Ledger(const Limits& limits, const StepCost& cost, int64_t device_blocks, int64_t host_blocks,
               double swap_block_seconds) {
  HOIST_CHECK(limits.max_seqs > 0 && limits.block > 0 && limits.step_tokens >= limits.max_seqs, "limits");
  HOIST_CHECK(device_blocks > 0 && host_blocks >= 0, "tiers");
  state_.limits = limits;
  state_.cost = cost;
  state_.device = {device_blocks, device_blocks};
  state_.host = {host_blocks, host_blocks};
  state_.swap_block_seconds = swap_block_seconds;
}

Sequence& Ledger::at(Slot slot) {
  HOIST_CHECK(slot >= 0 && static_cast<size_t>(slot) < state_.sequences.size(), "no such slot");
  return state_.sequences[static_cast<size_t>(slot)];
}

Slot Ledger::add(const Request& request) {
  Slot slot;
  if (vacant_.empty()) {
    slot = static_cast<Slot>(state_.sequences.size());
    state_.sequences.emplace_back();
  } else {
    slot = vacant_.back();
    vacant_.pop_back();
  }
  Sequence& s = at(slot);
  s = {};
  s.request = request;
  s.live = true;
  ++state_.waiting;
  ++live_;
  return slot;
}

void Ledger::release(Slot slot) {
  Sequence& s = at(slot);
  s = {};
  vacant_.push_back(slot);
}

void Ledger::remove(Slot slot) {
  Sequence& s = at(slot);
  HOIST_CHECK(s.live, "a sequence is removed twice");
  if (s.place == KvPlace::kNone && s.generated == 0) --state_.waiting;
  std::erase(state_.last_work, slot);
  s.live = false;
  --live_;
  if (s.place == KvPlace::kLeaving || s.place == KvPlace::kArriving) return;
  if (s.place == KvPlace::kDevice) state_.device.free += s.blocks;
  if (s.place == KvPlace::kHost) state_.host.free += s.blocks;
  release(slot);
}

void Ledger::drop(Slot slot) {
  Sequence& s = at(slot);
  HOIST_CHECK(s.live && (s.place == KvPlace::kDevice || s.place == KvPlace::kHost),
              "there is nothing to drop");
  (s.place == KvPlace::kDevice ? state_.device : state_.host).free += s.blocks;
  if (s.generated == 0) ++state_.waiting;
  s.blocks = s.computed = 0;
  s.place = KvPlace::kNone;
}

void Ledger::start_out(Slot slot) {
  Sequence& s = at(slot);
  HOIST_CHECK(s.live && s.place == KvPlace::kDevice, "only what lies on the device is swapped out");
  HOIST_CHECK(s.blocks <= state_.host.free, "the host tier is overdrawn");
  state_.host.free -= s.blocks;
  state_.leaving += s.blocks;
  s.place = KvPlace::kLeaving;
}

void Ledger::start_in(Slot slot) {
  Sequence& s = at(slot);
  HOIST_CHECK(s.live && s.place == KvPlace::kHost, "only what lies on the host is swapped in");
  HOIST_CHECK(s.blocks <= state_.device.free, "the device tier is overdrawn");
  state_.device.free -= s.blocks;
  s.place = KvPlace::kArriving;
}

void Ledger::end_transfer(Slot slot) {
  Sequence& s = at(slot);
  if (s.place == KvPlace::kLeaving) {
    state_.device.free += s.blocks;
    state_.leaving -= s.blocks;
    s.place = KvPlace::kHost;
  } else {
    HOIST_CHECK(s.place == KvPlace::kArriving, "no transfer is under way");
    state_.host.free += s.blocks;
    s.place = KvPlace::kDevice;
  }
  if (s.live) return;
  (s.place == KvPlace::kHost ? state_.host : state_.device).free += s.blocks;
  release(slot);
}

void Ledger::begin(const std::vector<Work>& work) {
  HOIST_CHECK(static_cast<int64_t>(work.size()) <= state_.limits.max_seqs, "too many sequences in a step");
  int64_t tokens = 0;
  for (const Work& w : work) {
    Sequence& s = at(w.slot);
    HOIST_CHECK(s.live && (s.place == KvPlace::kDevice || s.place == KvPlace::kNone), "it is not resident");
    HOIST_CHECK(w.tokens > 0 && w.tokens <= s.left(), "more tokens than are left");
    HOIST_CHECK(w.blocks >= s.blocks && w.blocks >= state_.limits.blocks_for(s.computed + w.tokens),
                "a step's tokens need blocks");
    if (s.place == KvPlace::kNone && s.generated == 0) --state_.waiting;
    state_.device.free -= w.blocks - s.blocks;
    HOIST_CHECK(state_.device.free >= 0, "the device tier is overdrawn");
    s.blocks = w.blocks;
    s.place = KvPlace::kDevice;
    tokens += w.tokens;
  }
  HOIST_CHECK(tokens <= state_.limits.step_tokens, "too many tokens in a step");
}

void Ledger::reuse(Slot slot, int64_t tokens) {
  Sequence& s = at(slot);
  HOIST_CHECK(s.live && s.place == KvPlace::kDevice, "only what runs takes known tokens");
  HOIST_CHECK(tokens >= 0 && tokens < s.left(), "the last token is always computed");
  s.computed += tokens;
}

bool Ledger::grow(Slot slot, int64_t blocks) {
  Sequence& s = at(slot);
  HOIST_CHECK(s.live && s.place == KvPlace::kDevice, "only what runs grows");
  if (blocks - s.blocks > state_.device.free) return false;
  if (blocks <= s.blocks) return true;
  state_.device.free -= blocks - s.blocks;
  s.blocks = blocks;
  return true;
}

void Ledger::end(const std::vector<Work>& work) {
  state_.last_work.clear();
  for (const Work& w : work) {
    Sequence& s = at(w.slot);
    if (!s.live) continue;  // cancelled meanwhile
    s.computed += w.tokens;
    HOIST_CHECK(w.yields == (s.left() == 0), "a token comes when all before it are computed");
    if (w.yields) s.generated += 1 + w.extra;
    s.computed += w.extra;
    state_.last_work.push_back(w.slot);
  }
}

void Ledger::check() const {
  int64_t device = 0, host = 0, leaving = 0, waiting = 0, live = 0;
  for (const Sequence& s : state_.sequences) {
    const bool out = s.place == KvPlace::kLeaving, in = s.place == KvPlace::kArriving;
    if (s.place == KvPlace::kDevice || out || in) device += s.blocks;
    if (s.place == KvPlace::kHost || out || in) host += s.blocks;
    if (out) leaving += s.blocks;
    live += s.live;
    waiting += s.live && s.place == KvPlace::kNone && s.generated == 0;
    HOIST_CHECK(s.place != KvPlace::kNone || (s.blocks == 0 && s.computed == 0), "KV that lies nowhere");
    HOIST_CHECK(state_.limits.blocks_for(s.computed) <= s.blocks, "KV without blocks");
  }
  HOIST_CHECK(state_.device.free >= 0 && device + state_.device.free == state_.device.total, "device blocks");
  HOIST_CHECK(state_.host.free >= 0 && host + state_.host.free == state_.host.total, "host blocks");
  HOIST_CHECK(leaving == state_.leaving && waiting == state_.waiting && live == live_, "derived counts");
}

}  // namespace hoist::sched
