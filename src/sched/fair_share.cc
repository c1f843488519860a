#include "sched/fair_share.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "base/check.h"

namespace hoist::sched {

namespace {
constexpr size_t kNone = std::numeric_limits<size_t>::max();
}  // namespace

double FairShare::least() const {
  double least = std::numeric_limits<double>::infinity();
  for (const uint32_t t : active_) least = std::min(least, tenants_[t].charged);
  return least;
}

void FairShare::add(const State& state, Slot slot) {
  if (!on_) return;
  const int32_t number = state.sequences[static_cast<size_t>(slot)].request.tenant;
  const auto [at, fresh] = index_.try_emplace(number, static_cast<uint32_t>(tenants_.size()));
  if (fresh) tenants_.emplace_back();
  if (owner_.size() <= static_cast<size_t>(slot)) owner_.resize(static_cast<size_t>(slot) + 1);
  owner_[static_cast<size_t>(slot)] = at->second;
  Tenant& t = tenants_[at->second];
  if (t.live++ > 0) return;
  if (!active_.empty()) clock_ = std::max(clock_, least());
  t.charged = std::max(t.charged, clock_);
  active_.push_back(at->second);
}

void FairShare::remove(Slot slot) {
  if (!on_) return;
  const uint32_t owner = owner_[static_cast<size_t>(slot)];
  Tenant& t = tenants_[owner];
  HOIST_CHECK(t.live > 0, "a sequence is removed twice");
  if (--t.live > 0) return;
  std::erase(active_, owner);
  if (active_.empty()) clock_ = std::max(clock_, t.charged);
}

double FairShare::charge(const State& state, bool decode, int64_t tokens, int64_t before) const {
  const StepCost& c = state.cost;
  StepLoad load;
  if (decode) {
    for (int64_t i = 0; i < tokens; ++i) load.add_decode(before + i + 1);
  } else {
    load.add_prefill(tokens, before);
  }
  const double seconds = c.seconds(load) - c.fixed + c.fixed / static_cast<double>(state.limits.max_seqs);
  if (seconds > 0) return seconds;
  return static_cast<double>(decode ? 2 * tokens : tokens);
}

void FairShare::ran(const State& state, const std::vector<Work>& work) {
  if (!on_) return;
  for (const Work& w : work) {
    const int64_t tokens = w.tokens + w.extra;
    const int64_t before = state.sequences[static_cast<size_t>(w.slot)].computed - tokens;
    tenants_[owner_[static_cast<size_t>(w.slot)]].charged +=
        charge(state, w.decode, tokens, std::max<int64_t>(0, before));
  }
}

void FairShare::take_turns(const State& state, std::vector<Slot>& order) {
  // Each tenant's sequences as a chain through the policy's order.
  in_.swap(order);
  order.clear();
  next_.assign(in_.size(), kNone);
  first_.assign(tenants_.size(), kNone);
  for (size_t i = in_.size(); i-- > 0;) {
    size_t& first = first_[owner_[static_cast<size_t>(in_[i])]];
    next_[i] = first;
    first = i;
  }
  heap_.clear();
  for (const uint32_t t : active_)
    if (first_[t] != kNone) heap_.push_back({tenants_[t].charged, first_[t], t});
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    Turn& turn = heap_.back();
    const Slot slot = in_[turn.place];
    order.push_back(slot);
    const Sequence& s = state.sequences[static_cast<size_t>(slot)];
    turn.charged += charge(state, s.decoding(), std::min(s.left(), state.limits.step_tokens), s.computed);
    turn.place = next_[turn.place];
    if (turn.place == kNone)
      heap_.pop_back();
    else
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
}

}  // namespace hoist::sched
