// Shortest remaining processing time: before every token those that are nearest to their end. An oracle: it
// needs the length of the answer (Request::output_tokens; the longest permitted stands in where that is
// unknown) and serves as the bound that policies without it are measured against.
#include <algorithm>

#include "base/check.h"
#include "sched/policy.h"

namespace hoist::sched {

namespace {

class Srpt final : public Policy {
 public:
  Srpt(KvMode kv, bool fair) : batch_(kv, false), fair_(fair) {}

  void add(const State& state, Slot slot) override {
    if (key_.size() <= static_cast<size_t>(slot)) key_.resize(static_cast<size_t>(slot) + 1);
    place(state, slot, arrivals_++);
    fair_.add(state, slot);
  }
  void remove(Slot slot) override {
    order_.erase(find(slot));
    fair_.remove(slot);
  }
  void ran(const State& state, const std::vector<Work>& work, double) override {
    fair_.ran(state, work);
    for (const Work& w : work) {
      const auto at = find(w.slot);
      const uint64_t arrival = at->arrival;
      order_.erase(at);
      place(state, w.slot, arrival);
    }
  }

  void plan(const State& state, Decision& decision) override {
    batch_.begin(state, decision);
    if (fair_.several()) return plan_turns(state);
    auto victims = [&](std::vector<Slot>& out) {
      for (auto e = order_.rbegin(); e != order_.rend(); ++e) out.push_back(e->slot);
    };
    for (const Entry& e : order_)
      if (!batch_.offer(e.slot, victims)) break;
    batch_.finish();
  }

 private:
  struct Entry {
    double seconds;    // left, alone on the machine
    uint64_t arrival;  // the earlier of equals goes first
    Slot slot;
    bool operator<(const Entry& o) const {
      return seconds != o.seconds ? seconds < o.seconds : arrival < o.arrival;
    }
  };

  static double remaining(const State& state, const Sequence& s) {
    const int64_t output =
        s.request.output_tokens == kUnknownLength ? s.request.max_tokens : s.request.output_tokens;
    const double rows =
        static_cast<double>(std::max<int64_t>(0, output - s.generated - (s.decoding() ? 0 : 1)));
    return (s.decoding() ? 0 : state.cost.prompt_seconds(s.target(), s.computed, state.limits.step_tokens)) +
           rows * state.cost.row_seconds(s.target());
  }

  void place(const State& state, Slot slot, uint64_t arrival) {
    const Entry e{remaining(state, state.sequences[static_cast<size_t>(slot)]), arrival, slot};
    key_[static_cast<size_t>(slot)] = e;
    order_.insert(std::lower_bound(order_.begin(), order_.end(), e), e);
  }
  std::vector<Entry>::iterator find(Slot slot) {
    const auto at = std::lower_bound(order_.begin(), order_.end(), key_[static_cast<size_t>(slot)]);
    HOIST_CHECK(at != order_.end() && at->slot == slot, "a sequence that was not added");
    return at;
  }

  void plan_turns(const State& state) {
    turns_.clear();
    for (const Entry& e : order_) turns_.push_back(e.slot);
    fair_.take_turns(state, turns_);
    offer_all(batch_, turns_);
    batch_.finish();
  }

  BatchBuilder batch_;
  FairShare fair_;
  std::vector<Slot> turns_;
  std::vector<Entry> order_;  // sorted
  std::vector<Entry> key_;    // by slot: its entry
  uint64_t arrivals_ = 0;
};

}  // namespace

std::unique_ptr<Policy> make_srpt(KvMode kv, bool fair) { return std::make_unique<Srpt>(kv, fair); }

}  // namespace hoist::sched
