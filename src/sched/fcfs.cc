// First come, first served, step by step (Orca, OSDI'22; vLLM's default): in order of arrival as many as fit,
// each kept until it ends. When blocks run out the latest arrivals lose theirs; they have their old place in
// the order, so they are the next to come back. With `reserve` nobody is let in before blocks for its longest
// answer are free, and nobody ever loses any.
#include "base/check.h"
#include "sched/policy.h"
#include "sched/slot_list.h"

namespace hoist::sched {

namespace {

class Fcfs final : public Policy {
 public:
  Fcfs(KvMode kv, bool reserve) : batch_(kv, reserve) {}

  void add(const State&, Slot slot) override {
    links_.grow(slot);
    order_.push_back(links_, slot);
  }
  void remove(Slot slot) override { order_.remove(links_, slot); }
  void ran(const State&, const std::vector<Work>&, double) override {}

  void plan(const State& state, Decision& decision) override {
    batch_.begin(state, decision);
    auto victims = [&](std::vector<Slot>& out) {
      for (Slot s = order_.back(); s != kNoSlot; s = links_[s].before) out.push_back(s);
    };
    for (Slot s = order_.front(); s != kNoSlot; s = links_[s].after)
      if (!batch_.offer(s, victims)) break;
    batch_.finish();
  }

 private:
  BatchBuilder batch_;
  SlotLinks links_;
  SlotList order_;
};

}  // namespace

std::unique_ptr<Policy> make_fcfs(KvMode kv, bool reserve) { return std::make_unique<Fcfs>(kv, reserve); }

}  // namespace hoist::sched
