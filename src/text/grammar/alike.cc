#include "text/grammar/alike.h"

#include "text/flat_map.h"

namespace hoist::text::grammar {
namespace {

constexpr uint32_t kEmpty = UINT32_MAX;

}  // namespace

uint64_t Alike::signature(State s) const {
  uint64_t h =
      mix_bits(uint64_t{a_.accepts[s]} << 1 | uint64_t{a_.reads[s]} | uint64_t{costs_.depth[s]} << 8);
  for (uint32_t i = a_.call_begin[s]; i < a_.call_begin[s + 1]; ++i) h = mix_bits(h ^ a_.calls[i].start);
  for (uint32_t c = 0; c < a_.classes; ++c) {
    if (a_.next[size_t{s} * a_.classes + c]) h = mix_bits(h + c);
  }
  return h;
}

bool Alike::same_kind(State s, State other) const {
  const uint32_t calls = a_.call_begin[s + 1] - a_.call_begin[s];
  if (a_.accepts[s] != a_.accepts[other] || a_.reads[s] != a_.reads[other] ||
      costs_.depth[s] != costs_.depth[other] || calls != a_.call_begin[other + 1] - a_.call_begin[other]) {
    return false;
  }
  for (uint32_t i = 0; i < calls; ++i) {
    if (a_.calls[a_.call_begin[s] + i].start != a_.calls[a_.call_begin[other] + i].start) return false;
  }
  return true;
}

std::optional<Alike::Likeness> Alike::compare(State s, State other) {
  slots_.assign(2 * kMaxPairs, kEmpty);
  pairs_.clear();
  std::optional<int64_t> shift;
  // Takes a pair to be followed later; false if it shows a difference.
  const auto meet = [&](State a, State b) {
    if (a == 0 && b == 0) return true;
    if (a == 0 || b == 0) return false;
    size_t at = mix_bits(uint64_t{a} << 16 | b) & (slots_.size() - 1);
    for (; slots_[at] != kEmpty; at = (at + 1) & (slots_.size() - 1)) {
      const Pair& met = pairs_[slots_[at]];
      if (met.s == a && met.other == b) return true;
    }
    if (pairs_.size() >= kMaxPairs || !same_kind(a, b)) return false;
    const uint32_t cost = costs_.tokens[a], cost_other = costs_.tokens[b];
    if ((cost == kCannot) != (cost_other == kCannot)) return false;
    if (cost != kCannot) {
      const int64_t difference = int64_t{cost} - int64_t{cost_other};
      if (shift && *shift != difference) return false;
      shift = difference;
    }
    slots_[at] = static_cast<uint32_t>(pairs_.size());
    pairs_.push_back({a, b});
    return true;
  };

  if (!meet(s, other)) return std::nullopt;
  // Pairs [first, end) are those at `depth`; what follows a call may come after no byte, so it is among them.
  const auto meet_backs = [&](size_t first) {
    for (size_t i = first; i < pairs_.size(); ++i) {
      const Pair p = pairs_[i];
      const Call* calls = a_.calls.data() + a_.call_begin[p.s];
      const Call* calls_other = a_.calls.data() + a_.call_begin[p.other];
      for (uint32_t k = a_.call_begin[p.s + 1] - a_.call_begin[p.s]; k-- > 0;) {
        if (!meet(calls[k].back, calls_other[k].back)) return false;
      }
    }
    return true;
  };
  const auto meet_next = [&](size_t first, size_t end) {
    for (size_t i = first; i < end; ++i) {
      const Pair p = pairs_[i];
      if (p.s == p.other) continue;  // one state from here on
      const State* row = a_.next.data() + size_t{p.s} * a_.classes;
      const State* row_other = a_.next.data() + size_t{p.other} * a_.classes;
      for (uint32_t c = 0; c < a_.classes; ++c) {
        if (!meet(row[c], row_other[c])) return false;
      }
    }
    return true;
  };
  if (!meet_backs(0)) return std::nullopt;
  size_t first = 0;
  for (uint32_t depth = 0; depth < horizon_; ++depth) {
    const size_t end = pairs_.size();
    if (first == end) break;  // nothing new: alike for ever
    const std::optional<int64_t> so_far = shift;
    if (!meet_next(first, end) || !meet_backs(end)) return Likeness{depth, so_far.value_or(0)};
    first = end;
  }
  return Likeness{horizon_, shift.value_or(0)};
}

}  // namespace hoist::text::grammar
