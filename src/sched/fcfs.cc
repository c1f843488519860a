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
  Fcfs(KvMode kv, bool reserve, bool fair) : batch_(kv, reserve), fair_(fair) {}

  void add(const State& state, Slot slot) override {
    links_.grow(slot);
    order_.push_back(links_, slot);
    fair_.add(state, slot);
  }
  void remove(Slot slot) override {
    order_.remove(links_, slot);
    fair_.remove(slot);
  }
  void ran(const State& state, const std::vector<Work>& work, double) override { fair_.ran(state, work); }

  void plan(const State& state, Decision& decision) override {
    batch_.begin(state, decision);
    if (fair_.several()) return plan_turns(state);
    auto victims = [&](std::vector<Slot>& out) {
      for (Slot s = order_.back(); s != kNoSlot; s = links_[s].before) out.push_back(s);
    };
    for (Slot s = order_.front(); s != kNoSlot; s = links_[s].after)
      if (!batch_.offer(s, victims)) break;
    batch_.finish();
  }

 private:
  void plan_turns(const State& state) {
    turns_.clear();
    for (Slot s = order_.front(); s != kNoSlot; s = links_[s].after) turns_.push_back(s);
    fair_.take_turns(state, turns_);
    offer_all(batch_, turns_);
    batch_.finish();
  }

  BatchBuilder batch_;
  FairShare fair_;
  std::vector<Slot> turns_;
  SlotLinks links_;
  SlotList order_;
};

}  // namespace

std::unique_ptr<Policy> make_fcfs(KvMode kv, bool reserve, bool fair) {
  return std::make_unique<Fcfs>(kv, reserve, fair);
}

}  // namespace hoist::sched
