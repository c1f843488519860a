// The stacks of the running automaton. Private to text/grammar.
//
// A set of stacks is a run of StackNodes; equal stacks are equal nodes. Frame 0 is the bottom: popping it
// gives the node {0, 0}, "the end was reached here".
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "text/grammar/automaton.h"
#include "text/grammar/costs.h"
#include "text/grammar/token_table.h"

namespace hoist::text::grammar {

struct StackNode {
  uint32_t frame;
  State state;
  bool operator==(const StackNode& o) const { return frame == o.frame && state == o.state; }
};

struct Frame {
  uint32_t parent;
  uint32_t cost;  // tokens that suffice from `back` to the end of everything
  State back;
  uint16_t depth;  // frames below and including this one
  uint32_t chain;  // next frame of the same hash
};

class Stacks {
 public:
  static constexpr size_t kMaxSet = 1024;  // stacks at once; more is Error(kResourceExhausted)

  Stacks(const Automaton& automaton, const Costs& costs, uint16_t max_depth);

  const Frame& frame(uint32_t id) const { return frames_[id]; }
  size_t size() const { return frames_.size(); }
  void truncate(size_t size);  // forgets the newest frames

  // Tokens that suffice from here to the end; kCannot if none do within the depth.
  uint32_t cost(const StackNode& node) const {
    const Frame& f = frames_[node.frame];
    if (f.depth + costs_.depth[node.state] > max_depth_) return kCannot;
    return add_costs(costs_.tokens[node.state], f.cost);
  }
  uint32_t cost(const StackNode* set, size_t count) const {
    uint32_t best = kCannot;
    for (size_t i = 0; i < count; ++i) best = std::min(best, cost(set[i]));
    return best;
  }

  // Appends {frame, state} and what follows without reading, to the set that starts at out[begin]. Call tidy
  // after the last one.
  void expand(State state, uint32_t frame, std::vector<StackNode>& out, size_t begin);
  // Drops from the set the nodes that do not read; the end stays.
  void tidy(std::vector<StackNode>& out, size_t begin) const;
  // Appends the set after `byte` of the set out[from..to).
  void step(uint8_t byte, std::vector<StackNode>& out, size_t from, size_t to);
  // Appends what follows once the rule of `frame` has ended.
  void pop(uint32_t frame, std::vector<StackNode>& out);

  // The deepest push tried since it was last reset.
  uint32_t reach = 0;

  // Walks the trie's nodes [begin, end), which lie below depth `base`, from the set pool[set..]; calls
  // visit(node, set, count) wherever some stack is left. Branches of the trie that end within `least_depth`
  // bytes are left out. The pool is as before afterwards.
  template <class Visit>
  void walk(const TokenTable& table, uint32_t begin, uint32_t end, uint16_t base,
            std::vector<StackNode>& pool, size_t set, Visit&& visit, uint32_t least_depth = 0);

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t push(State back, uint32_t parent);  // kNone if too deep
  size_t slot(State back, uint32_t parent) const;
  void rehash();

  const Automaton& a_;
  const Costs& costs_;
  uint16_t max_depth_;
  std::vector<Frame> frames_;
  std::vector<uint32_t> heads_;
  // The sets along the path of a walk: `one` alone, or pool[begin..end) if that is not empty. What lies in
  // the pool behind `end` belongs to deeper levels.
  struct Level {
    uint32_t begin, end;
    StackNode one;
  };
  std::vector<Level> levels_;
};

template <class Visit>
void Stacks::walk(const TokenTable& table, uint32_t begin, uint32_t end, uint16_t base,
                  std::vector<StackNode>& pool, size_t set, Visit&& visit, uint32_t least_depth) {
  if (pool.size() == set) return;
  if (levels_.empty()) levels_.resize(TokenTable::kMaxTokenBytes + 2);
  const auto size = static_cast<uint32_t>(pool.size());
  levels_[0] = {size - set == 1 ? size : static_cast<uint32_t>(set), size, pool[set]};
  for (uint32_t i = begin; i < end;) {
    const TokenTable::Node& node = table.node(i);
    if (node.deepest <= least_depth) {
      i = node.skip;
      continue;
    }
    const Level& above = levels_[static_cast<size_t>(node.depth - base) - 1];
    Level& here = levels_[static_cast<size_t>(node.depth - base)];
    const uint32_t to = above.end;
    if (above.begin == to) {
      const State next = a_.step(above.one.state, node.byte);
      if (next == 0) {
        i = node.skip;
        continue;
      }
      if (a_.simple[next]) {  // nearly always
        here = {to, to, {above.one.frame, next}};
        visit(i, &here.one, size_t{1});
        ++i;
        continue;
      }
      pool.resize(to);
      expand(next, above.one.frame, pool, to);
      tidy(pool, to);
    } else {
      pool.resize(to);
      step(node.byte, pool, above.begin, to);
    }
    const size_t count = pool.size() - to;
    if (count == 0) {
      i = node.skip;
      continue;
    }
    here = {to, count == 1 ? to : to + static_cast<uint32_t>(count), pool[to]};
    visit(i, pool.data() + to, count);
    ++i;
  }
  pool.resize(size);
}

}  // namespace hoist::text::grammar
