#include "sched/batch.h"

#include <algorithm>

namespace hoist::sched {

namespace {
// Of the machine's time, what taking KV away for the sake of others may cost in bringing it back.
constexpr double kEvictionShare = 0.1;
constexpr double kMostCredit = 100;  // of the shortest iteration
}  // namespace

void BatchBuilder::begin(const State& state, Decision& decision) {
  state_ = &state;
  decision_ = &decision;
  decision.clear();
  ++epoch_;
  if (mark_.size() < state.sequences.size()) mark_.resize(state.sequences.size());
  members_.clear();
  victims_.clear();
  next_victim_ = 0;
  free_ = state.device.free;
  leaving_ = state.leaving;
  host_free_ = state.host.free;
  decodes_ = prefill_ = 0;
  listed_ = blocked_ = closed_ = false;
  const double most = kMostCredit * state.cost.row_seconds(1);
  credit_ = epoch_ == 1 ? most : std::min(most, credit_ + kEvictionShare * (state.now - last_now_));
  last_now_ = state.now;
}

void BatchBuilder::evict(Slot slot) {
  const Sequence& v = state_->sequences[static_cast<size_t>(slot)];
  mark_[static_cast<size_t>(slot)] = 2 * epoch_ + 1;
  if (mode_ == KvMode::kRecompute || host_free_ < v.blocks) {
    credit_ -= state_->cost.prompt_seconds(v.target(), 0, state_->limits.step_tokens);
    decision_->drop.push_back(slot);
    free_ += v.blocks;
    return;
  }
  credit_ -= 2 * state_->swap_block_seconds * static_cast<double>(v.blocks);
  decision_->swap_out.push_back(slot);
  host_free_ -= v.blocks;
  if (mode_ == KvMode::kReactive) {
    decision_->wait_for_swaps = true;
    free_ += v.blocks;
  } else {
    leaving_ += v.blocks;
  }
}

// True when `blocks` are free now. If all who may lose theirs would not do, nobody does.
bool BatchBuilder::make_room(int64_t blocks, Victims victims) {
  if (reserve_) return false;
  if (!listed_) victims(victims_);
  listed_ = true;
  auto may_lose = [&](Slot slot) {
    return !offered(slot) && state_->sequences[static_cast<size_t>(slot)].place == KvPlace::kDevice;
  };
  int64_t reach = free_ + leaving_;
  for (size_t i = next_victim_; i < victims_.size() && reach < blocks; ++i)
    if (may_lose(victims_[i])) reach += state_->sequences[static_cast<size_t>(victims_[i])].blocks;
  if (reach < blocks) return false;
  for (; next_victim_ < victims_.size() && free_ + leaving_ < blocks; ++next_victim_)
    if (may_lose(victims_[next_victim_])) evict(victims_[next_victim_]);
  if (free_ >= blocks) return true;
  leaving_ -= blocks - free_;  // spoken for
  return false;
}

bool BatchBuilder::offer(Slot slot, Victims victims) {
  const Limits& limits = state_->limits;
  if (static_cast<int64_t>(members_.size()) == limits.max_seqs) return false;
  if (taken(slot)) return true;
  mark_[static_cast<size_t>(slot)] = 2 * epoch_;
  const Sequence& s = state_->sequences[static_cast<size_t>(slot)];
  if (s.place == KvPlace::kLeaving || s.place == KvPlace::kArriving) return true;
  const bool decode = s.decoding();
  if (!decode && prefill_ >= limits.step_tokens - decodes_) return true;  // no token is left for it
  const bool resident = s.place == KvPlace::kDevice;
  const bool ahead = s.place == KvPlace::kHost && mode_ == KvMode::kProactive;  // comes in, runs later
  const int64_t tokens = reserve_ ? s.request.prompt_tokens + s.request.max_tokens : s.target();
  const int64_t blocks = std::max(ahead ? s.blocks : limits.blocks_for(tokens), resident ? s.blocks : 0);
  const int64_t need = blocks - (resident ? s.blocks : 0);
  // A newcomer leaves a block to grow by to each who is in the step already, or would soon push itself out.
  const int64_t spare =
      s.place == KvPlace::kNone && !reserve_ ? static_cast<int64_t>(members_.size()) : int64_t{0};
  if (need > 0 && free_ < need + spare) {
    // Those in the midst of their answers may always grow, or all might wait for one another. Who would come
    // in may take from others while there is credit, else waits for what ends; so do those after it.
    if (blocked_ || (closed_ && !resident)) return true;
    if (!resident && credit_ <= 0) {
      closed_ = true;
      return true;
    }
    if (!make_room(need + spare, victims)) {
      blocked_ = true;
      return true;
    }
  } else if (need > 0 && (blocked_ || (closed_ && !resident))) {
    return true;
  }
  free_ -= need;
  mark_[static_cast<size_t>(slot)] = 2 * epoch_ + 1;
  if (s.place == KvPlace::kHost) {
    decision_->swap_in.push_back(slot);
    if (ahead) return true;
    decision_->wait_for_swaps = true;
  }
  members_.push_back({slot, s.left(), blocks, decode, true});
  if (decode)
    ++decodes_;
  else
    prefill_ += s.left();
  return true;
}

void BatchBuilder::finish() {
  int64_t budget = state_->limits.step_tokens - decodes_;
  for (const Work& w : members_)
    if (w.decode) decision_->work.push_back(w);
  for (Work w : members_) {
    if (w.decode || budget == 0) continue;
    const int64_t left = w.tokens;
    w.tokens = std::min(left, budget);
    w.yields = w.tokens == left;
    budget -= w.tokens;
    decision_->work.push_back(w);
  }
  for (Slot slot : state_->last_work) {
    const bool runs = std::any_of(decision_->work.begin(), decision_->work.end(),
                                  [&](const Work& w) { return w.slot == slot; });
    if (!runs) decision_->preempted.push_back(slot);
  }
}

void offer_all(BatchBuilder& batch, const std::vector<Slot>& order) {
  auto victims = [&](std::vector<Slot>& out) { out.assign(order.rbegin(), order.rend()); };
  for (const Slot slot : order)
    if (!batch.offer(slot, victims)) break;
}

}  // namespace hoist::sched
