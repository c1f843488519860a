// Whether two states decide alike about the next token. Private to text/grammar.
//
// A bounded repetition is unrolled: a string of up to 1,000 characters has thousands of states, and all but
// the last few allow the same tokens at the same cost to the end, or at one that differs by a constant.
// Finding that by following both states side by side for the length of the longest token costs microseconds;
// walking the vocabulary again for each costs milliseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "text/grammar/automaton.h"
#include "text/grammar/costs.h"

namespace hoist::text::grammar {

class Alike {
 public:
  // `horizon`: the length in bytes of the longest token. The automaton and costs must outlive this.
  Alike(const Automaton& automaton, const Costs& costs, uint32_t horizon)
      : a_(automaton), costs_(costs), horizon_(horizon) {}

  // Equal for states that are alike; seldom equal for others.
  uint64_t signature(State s) const;

  struct Likeness {
    uint32_t depth = 0;  // bytes; the horizon if no difference was met
    int64_t shift = 0;   // what the costs behind `s` are above those behind `other`
  };
  // How far the two are alike: every text of at most `depth` bytes leads from `s` and from `other` to states
  // that read, call and end in the same way, with costs that differ by `shift`. nullopt if they differ
  // themselves. Follows a few thousand pairs of states at most. Not for several threads at once.
  std::optional<Likeness> compare(State s, State other);

 private:
  static constexpr size_t kMaxPairs = 4096;
  struct Pair {
    State s, other;
  };

  bool same_kind(State s, State other) const;

  const Automaton& a_;
  const Costs& costs_;
  uint32_t horizon_;
  // Scratch: pairs in the order they were met, and a hash table of them.
  std::vector<Pair> pairs_;
  std::vector<uint32_t> slots_;
};

}  // namespace hoist::text::grammar
