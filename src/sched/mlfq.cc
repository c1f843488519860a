#include "sched/mlfq.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "sched/slot_list.h"
#include "sched/swap.h"

namespace hoist::sched {

namespace {

class Mlfq final : public Policy {
 public:
  explicit Mlfq(const MlfqOptions& options) : o_(options), batch_(options.kv, false), fair_(options.fair) {
    HOIST_CHECK(o_.quantum > 0 && o_.ratio > 1 && o_.levels >= 1 && o_.levels <= kMaxLevels, "options");
    quantum_[0] = o_.quantum;  // those promoted run ahead of queue 1, by its quantum
    for (size_t i = 1; i <= kMaxLevels; ++i)
      quantum_[i] = i == 1 ? o_.quantum : std::min(quantum_[i - 1] * o_.ratio, 1e30);
  }

  void add(const State& state, Slot slot) override {
    links_.grow(slot);
    ages_.grow(slot);
    if (jobs_.size() <= static_cast<size_t>(slot)) jobs_.resize(static_cast<size_t>(slot) + 1);
    const Sequence& s = state.sequences[static_cast<size_t>(slot)];
    Job& j = job(slot);
    j = {};
    j.since = state.now;
    j.level = 1;
    if (o_.skip_join) {
      const double first = state.cost.prompt_seconds(s.request.prompt_tokens, 0, state.limits.step_tokens);
      while (j.level < o_.levels && quantum_[j.level] < first) ++j.level;
    }
    enqueue(slot, j.level);
    age_.push_back(ages_, slot);
    fair_.add(state, slot);
    burst_.arrived(state.now, state.limits.blocks_for(s.target()));
  }

  void remove(Slot slot) override {
    dequeue(slot);
    if (ages_[slot].linked) age_.remove(ages_, slot);
    fair_.remove(slot);
  }

  void ran(const State& state, const std::vector<Work>& work, double seconds) override {
    fair_.ran(state, work);
    for (const Work& w : work) {
      Job& j = job(w.slot);
      j.used += seconds;
      j.since = state.now;
      if (ages_[w.slot].linked) age_.remove(ages_, w.slot);
      age_.push_back(ages_, w.slot);
      const double quantum = quantum_[j.level];
      const bool over = o_.strict ? j.used > quantum : j.used >= quantum * (1 - 1e-12);
      const int64_t next = std::max<int64_t>(j.level, 1) + 1;
      if (!w.yields || !over || next > o_.levels) continue;
      dequeue(w.slot);
      j.used = 0;
      enqueue(w.slot, next);
    }
  }

  void plan(const State& state, Decision& decision) override {
    promote(state);
    batch_.begin(state, decision);
    if (fair_.several()) {
      offer_turns(state);
    } else {
      offer_queues(state);
    }
    batch_.finish();
    if (o_.kv == KvMode::kProactive && state.host.total > 0) swap_ahead(state, decision);
  }

  int level(Slot slot) const override {
    return static_cast<int>(std::max<int64_t>(1, jobs_[static_cast<size_t>(slot)].level));
  }

 private:
  struct Job {
    int64_t level = 1;  // 0: promoted
    double used = 0;    // charged in this queue
    double since = 0;   // end of its last step, or its arrival
  };
  Job& job(Slot slot) { return jobs_[static_cast<size_t>(slot)]; }

  void enqueue(Slot slot, int64_t level) {
    job(slot).level = level;
    queue_[level].push_back(links_, slot);
    ++count_[level];
    deepest_ = std::max(deepest_, level);
  }
  void dequeue(Slot slot) {
    const int64_t level = job(slot).level;
    queue_[level].remove(links_, slot);
    --count_[level];
    while (deepest_ > 0 && count_[deepest_] == 0) --deepest_;
  }

  void offer_queues(const State& state) {
    auto victims = [&](std::vector<Slot>& out) { by_lateness(state, out); };
    for (int64_t level = 0; level <= deepest_; ++level)
      for (Slot s = queue_[level].front(); s != kNoSlot; s = links_[s].after)
        if (!batch_.offer(s, victims)) return;
  }
  void offer_turns(const State& state) {
    turns_.clear();
    for (int64_t level = 0; level <= deepest_; ++level)
      for (Slot s = queue_[level].front(); s != kNoSlot; s = links_[s].after) turns_.push_back(s);
    fair_.take_turns(state, turns_);
    offer_all(batch_, turns_);
  }

  // Starvation protection; ages_ is in order of `since`, and those promoted are in it no more.
  void promote(const State& state) {
    if (o_.promote < 0) return;
    while (!age_.empty() && state.now - job(age_.front()).since >= o_.promote) {
      const Slot slot = age_.front();
      age_.remove(ages_, slot);
      dequeue(slot);
      job(slot).used = 0;
      enqueue(slot, 0);
    }
  }

  // ENST(i) = min(T_promote(i), T_execute(i)).
  void estimate(const State& state) {
    const size_t n = static_cast<size_t>(deepest_) + 1;
    execute_times({count_.data(), n}, {quantum_.data(), n}, state.limits.max_seqs, {execute_.data(), n});
  }
  double enst(const State& state, const Job& j) const {
    if (j.level == 0 || o_.promote < 0) return execute_[j.level];
    return std::min(execute_[j.level], std::max(0.0, o_.promote - (state.now - j.since)));
  }

  // Sequences whose KV lies in `place` and that the step leaves alone.
  void collect(const State& state, KvPlace place, std::vector<SwapCandidate>& out) {
    out.clear();
    int64_t order = 0;
    for (int64_t level = 0; level <= deepest_; ++level)
      for (Slot s = queue_[level].front(); s != kNoSlot; s = links_[s].after, ++order)
        if (state.sequences[static_cast<size_t>(s)].place == place && !batch_.taken(s))
          out.push_back({s, enst(state, job(s)), order});
  }

  void by_lateness(const State& state, std::vector<Slot>& out) {
    estimate(state);
    collect(state, KvPlace::kDevice, device_);
    std::sort(device_.rbegin(), device_.rend());
    for (const SwapCandidate& c : device_) out.push_back(c.slot);
  }

  void swap_ahead(const State& state, Decision& decision) {
    const int64_t reserve = burst_.blocks(state, o_.burst);
    const bool pressed = batch_.free() + batch_.leaving() < reserve;
    const bool away = state.host.free < state.host.total;
    if (!pressed && !away) return;
    estimate(state);
    collect(state, KvPlace::kDevice, device_);
    collect(state, KvPlace::kHost, host_);
    plan_swaps(batch_, state, reserve, state.limits.max_seqs, device_, host_, decision);
  }

  const MlfqOptions o_;
  BatchBuilder batch_;
  FairShare fair_;
  std::vector<Slot> turns_;
  BurstReserve burst_;
  std::array<double, kMaxLevels + 1> quantum_{}, execute_{};
  std::array<int64_t, kMaxLevels + 1> count_{};
  std::array<SlotList, kMaxLevels + 1> queue_;  // 0: promoted
  int64_t deepest_ = 0;
  SlotLinks links_, ages_;
  SlotList age_;  // who waits longest first
  std::vector<Job> jobs_;
  std::vector<SwapCandidate> device_, host_;
};

}  // namespace

std::unique_ptr<Policy> make_mlfq(const MlfqOptions& options) { return std::make_unique<Mlfq>(options); }

}  // namespace hoist::sched
