// By the priority that requests carry, the lower first; of equals the earlier. As first come, first served
// otherwise, but that a newcomer of a lower number takes the place of one of a higher at any token.
#include <algorithm>

#include "base/check.h"
#include "sched/policy.h"

namespace hoist::sched {

namespace {

class Priority final : public Policy {
 public:
  Priority(KvMode kv, bool fair) : batch_(kv, false), fair_(fair) {}

  void add(const State& state, Slot slot) override {
    if (key_.size() <= static_cast<size_t>(slot)) key_.resize(static_cast<size_t>(slot) + 1);
    const Entry e{state.sequences[static_cast<size_t>(slot)].request.priority, arrivals_++, slot};
    key_[static_cast<size_t>(slot)] = e;
    order_.insert(std::lower_bound(order_.begin(), order_.end(), e), e);
    fair_.add(state, slot);
  }
  void remove(Slot slot) override {
    const auto at = std::lower_bound(order_.begin(), order_.end(), key_[static_cast<size_t>(slot)]);
    HOIST_CHECK(at != order_.end() && at->slot == slot, "a sequence that was not added");
    order_.erase(at);
    fair_.remove(slot);
  }
  void ran(const State& state, const std::vector<Work>& work, double) override { fair_.ran(state, work); }

  void plan(const State& state, Decision& decision) override {
    slots_.clear();
    for (const Entry& e : order_) slots_.push_back(e.slot);
    if (fair_.several()) fair_.take_turns(state, slots_);
    batch_.begin(state, decision);
    offer_all(batch_, slots_);
    batch_.finish();
  }

 private:
  struct Entry {
    int32_t priority;
    uint64_t arrival;
    Slot slot;
    bool operator<(const Entry& o) const {
      return priority != o.priority ? priority < o.priority : arrival < o.arrival;
    }
  };

  BatchBuilder batch_;
  FairShare fair_;
  std::vector<Entry> order_;  // sorted
  std::vector<Entry> key_;    // by slot: its entry
  std::vector<Slot> slots_;
  uint64_t arrivals_ = 0;
};

}  // namespace

std::unique_ptr<Policy> make_priority(KvMode kv, bool fair) { return std::make_unique<Priority>(kv, fair); }

}  // namespace hoist::sched
