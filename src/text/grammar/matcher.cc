#include "text/grammar/matcher.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "text/grammar/mask_entry.h"

namespace hoist::text {

using namespace grammar;

struct Matcher::State {
  explicit State(std::shared_ptr<const Constraint> c)
      : constraint(std::move(c)),
        automaton(constraint->grammar().automaton()),
        stacks(automaton, constraint->costs(), constraint->options().max_depth) {}

  std::shared_ptr<const Constraint> constraint;
  const Automaton& automaton;
  mutable Stacks stacks;
  // The sets after each step, end to end; the last is the current one. Scratch is put behind it and removed.
  mutable std::vector<StackNode> nodes;
  struct Step {
    size_t begin;   // of its set in nodes
    size_t frames;  // stacks.size() after it
  };
  std::vector<Step> steps;
  bool finished = false;
  // Tokens that leave the innermost rule, by stack: a word or a number stays on one stack for many tokens.
  // Emptied when frames are taken back, as their numbers are used again.
  struct Leaving {
    StackNode node;
    std::vector<PricedToken> tokens;  // with what is left to the end of everything
  };
  static constexpr size_t kMaxLeaving = 16;
  std::vector<Leaving> leaving;
  size_t next_leaving = 0;

  const std::vector<PricedToken>& tokens_leaving(const StackNode& node, const std::vector<uint32_t>& ends);

  const StackNode* set() const { return nodes.data() + steps.back().begin; }
  size_t count() const { return nodes.size() - steps.back().begin; }
  void forget_scratch(size_t size) const {
    nodes.resize(size);
    stacks.truncate(steps.back().frames);
  }
  // Forgets it on every way out, a grammar too ambiguous among them.
  struct Scratch {
    const State& state;
    size_t size;
    ~Scratch() { state.forget_scratch(size); }
  };
};

Matcher::Matcher(std::shared_ptr<const Constraint> constraint)
    : state_(std::make_unique<State>(std::move(constraint))) {
  State& s = *state_;
  s.stacks.expand(s.automaton.root, 0, s.nodes, 0);
  s.stacks.tidy(s.nodes, 0);
  s.steps.push_back({0, s.stacks.size()});
}

Matcher::~Matcher() = default;
Matcher::Matcher(const Matcher& other) : state_(std::make_unique<State>(*other.state_)) {}

const std::vector<PricedToken>& Matcher::State::tokens_leaving(const StackNode& node,
                                                               const std::vector<uint32_t>& ends) {
  for (const Leaving& l : leaving) {
    if (l.node == node) return l.tokens;
  }
  const TokenTable& table = constraint->tokens();
  const size_t size = nodes.size();
  std::vector<PricedToken> found;
  const auto add = [&](uint32_t at, uint32_t cost) {
    if (cost == kCannot) return;
    for (const int32_t token : table.tokens(at)) found.push_back({cost, token});
  };
  stacks.pop(node.frame, nodes);
  const uint32_t after = stacks.cost(nodes.data() + size, nodes.size() - size);
  for (const uint32_t at : ends) {
    add(at, after);
    const TokenTable::Node& end = table.node(at);
    if (at + 1 == end.skip) continue;
    stacks.walk(table, at + 1, end.skip, end.depth, nodes, size,
                [&](uint32_t below, const StackNode* set, size_t n) {
                  if (table.has_tokens(below)) add(below, stacks.cost(set, n));
                });
  }
  found.shrink_to_fit();
  if (leaving.size() < kMaxLeaving) {
    leaving.push_back({node, std::move(found)});
    return leaving.back().tokens;
  }
  Leaving& slot = leaving[next_leaving++ % kMaxLeaving];
  slot = {node, std::move(found)};
  return slot.tokens;
}

void Matcher::mask(std::span<uint64_t> out, uint64_t tokens_left) {
  State& s = *state_;
  const TokenTable& table = s.constraint->tokens();
  HOIST_CHECK(out.size() == table.mask_words(), "mask of the wrong size");
  std::fill(out.begin(), out.end(), 0);
  if (s.finished) return;
  const uint32_t least = min_tokens();
  uint32_t most = kCannot - 1;  // tokens that may be left to do after this one
  if (tokens_left < most) {
    most = static_cast<uint32_t>(std::max<uint64_t>(tokens_left, std::max(least, 1u)) - 1);
  }
  // With no token left only the end may come.
  const bool no_room = tokens_left == 0 && least == 0;

  const size_t size = s.nodes.size(), count = s.count(), begin = s.steps.back().begin;
  const auto allow = [&](uint32_t node) {
    for (const int32_t token : table.tokens(node)) out[token >> 6] |= uint64_t{1} << (token & 63);
  };
  const auto visit = [&](uint32_t node, const StackNode* set, size_t n) {
    if (table.has_tokens(node) && s.stacks.cost(set, n) <= most) allow(node);
  };
  const auto end_of_table = static_cast<uint32_t>(table.nodes());
  for (size_t i = 0; i < count; ++i) {
    const StackNode node = s.nodes[begin + i];
    if (node.state == 0) {
      for (const int32_t token : table.end_tokens()) out[token >> 6] |= uint64_t{1} << (token & 63);
      continue;
    }
    if (no_room) continue;
    const State::Scratch scratch{s, size};
    const Frame frame = s.stacks.frame(node.frame);
    const KeptMask kept = s.constraint->entry(node.state, s.stacks);
    const MaskEntry& entry = *kept.entry;
    if (frame.depth + entry.reach + s.constraint->costs().max_depth > s.constraint->options().max_depth) {
      // Near the depth cap what is allowed depends on the depth.
      s.nodes.push_back(node);
      s.stacks.walk(table, 0, end_of_table, 0, s.nodes, size, visit);
      continue;
    }
    if (frame.cost <= most) kept.apply(most - frame.cost, out.data());
    if (entry.ends.empty()) continue;
    for (const PricedToken& p : s.tokens_leaving(node, entry.ends)) {
      if (p.cost <= most) out[static_cast<size_t>(p.token) >> 6] |= uint64_t{1} << (p.token & 63);
    }
  }
}

bool Matcher::advance(std::string_view bytes) {
  State& s = *state_;
  const size_t size = s.nodes.size(), begin = s.steps.back().begin;
  size_t from = begin, to = size;
  try {
    for (const char c : bytes) {
      s.stacks.step(static_cast<uint8_t>(c), s.nodes, from, to);
      from = to;
      to = s.nodes.size();
      if (from == to) break;
    }
    if (from == to || s.stacks.cost(s.nodes.data() + from, to - from) == kCannot) {
      s.forget_scratch(size);
      return false;
    }
  } catch (...) {
    s.forget_scratch(size);
    throw;
  }
  // The sets between were scratch.
  s.nodes.erase(s.nodes.begin() + static_cast<ptrdiff_t>(size),
                s.nodes.begin() + static_cast<ptrdiff_t>(from));
  s.steps.push_back({size, s.stacks.size()});
  return true;
}

bool Matcher::accept(int32_t token) {
  State& s = *state_;
  const TokenTable& table = s.constraint->tokens();
  if (s.finished || token < 0 || static_cast<size_t>(token) >= table.size()) return false;
  if (table.is_end(token)) {
    if (!may_stop()) return false;
    const size_t begin = s.steps.back().begin, end = s.nodes.size();
    for (size_t i = begin; i < end; ++i) s.nodes.push_back(StackNode(s.nodes[i]));
    s.steps.push_back({end, s.stacks.size()});
    s.finished = true;
    return true;
  }
  const std::string_view bytes = table.bytes(token);
  return !bytes.empty() && advance(bytes);
}

bool Matcher::accept_bytes(std::string_view bytes) {
  if (state_->finished) return false;
  if (!bytes.empty()) return advance(bytes);
  State& s = *state_;
  const size_t begin = s.steps.back().begin, end = s.nodes.size();
  for (size_t i = begin; i < end; ++i) s.nodes.push_back(StackNode(s.nodes[i]));
  s.steps.push_back({end, s.stacks.size()});
  return true;
}

void Matcher::rollback(size_t n) {
  State& s = *state_;
  HOIST_CHECK(n <= accepted(), "rollback beyond the first token");
  if (n == 0) return;
  const size_t keep = s.steps.size() - n;
  s.nodes.resize(s.steps[keep].begin);
  s.steps.resize(keep);
  s.stacks.truncate(s.steps.back().frames);
  s.leaving.clear();
  s.finished = false;
}

size_t Matcher::accepted() const { return state_->steps.size() - 1; }

size_t Matcher::mask_words() const { return state_->constraint->tokens().mask_words(); }

bool Matcher::may_stop() const {
  const State& s = *state_;
  return std::any_of(s.set(), s.set() + s.count(), [](const StackNode& n) { return n.state == 0; });
}

bool Matcher::must_stop() const {
  const State& s = *state_;
  return std::all_of(s.set(), s.set() + s.count(), [](const StackNode& n) { return n.state == 0; });
}

bool Matcher::finished() const { return state_->finished; }

uint32_t Matcher::min_tokens() const {
  const State& s = *state_;
  return s.stacks.cost(s.set(), s.count());
}

std::string Matcher::forced_bytes(size_t max_bytes) const {
  const State& s = *state_;
  std::string out;
  const State::Scratch scratch{s, s.nodes.size()};
  size_t from = s.steps.back().begin, to = s.nodes.size();
  while (!s.finished && out.size() < max_bytes) {
    int only = -1;
    for (size_t i = from; i < to && only != -2; ++i) {
      const int byte = s.nodes[i].state == 0 ? -2 : s.automaton.only_byte[s.nodes[i].state];
      only = only == -1 || only == byte ? byte : -2;
    }
    if (only < 0) break;
    s.stacks.step(static_cast<uint8_t>(only), s.nodes, from, to);
    if (s.nodes.size() == to) break;
    out += static_cast<char>(only);
    from = to;
    to = s.nodes.size();
  }
  return out;
}

}  // namespace hoist::text
