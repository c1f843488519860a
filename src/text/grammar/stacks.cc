#include "text/grammar/stacks.h"

#include <algorithm>

#include "base/error.h"
#include "text/flat_map.h"

namespace hoist::text::grammar {

Stacks::Stacks(const Automaton& automaton, const Costs& costs, uint16_t max_depth)
    : a_(automaton), costs_(costs), max_depth_(max_depth), heads_(64, kNone) {
  frames_.push_back({0, 0, 0, 0, kNone});
}

size_t Stacks::slot(State back, uint32_t parent) const {
  return mix_bits(uint64_t{parent} << 16 | back) & (heads_.size() - 1);
}

void Stacks::rehash() {
  heads_.assign(heads_.size() * 2, kNone);
  for (uint32_t id = 1; id < frames_.size(); ++id) {
    uint32_t& head = heads_[slot(frames_[id].back, frames_[id].parent)];
    frames_[id].chain = head;
    head = id;
  }
}

void Stacks::truncate(size_t size) {
  // The newest frame of a hash is the head of its chain.
  while (frames_.size() > size) {
    const Frame& f = frames_.back();
    heads_[slot(f.back, f.parent)] = f.chain;
    frames_.pop_back();
  }
}

uint32_t Stacks::push(State back, uint32_t parent) {
  const uint32_t depth = frames_[parent].depth + 1u;
  reach = std::max(reach, depth);
  if (depth > max_depth_ || frames_[parent].depth + costs_.depth[back] > max_depth_) return kNone;
  size_t at = slot(back, parent);
  for (uint32_t id = heads_[at]; id != kNone; id = frames_[id].chain) {
    if (frames_[id].back == back && frames_[id].parent == parent) return id;
  }
  if (frames_.size() >= heads_.size()) {
    rehash();
    at = slot(back, parent);
  }
  const auto id = static_cast<uint32_t>(frames_.size());
  frames_.push_back({parent, add_costs(costs_.tokens[back], frames_[parent].cost), back,
                     static_cast<uint16_t>(depth), heads_[at]});
  heads_[at] = id;
  return id;
}

void Stacks::expand(State state, uint32_t frame, std::vector<StackNode>& out, size_t begin) {
  const auto add = [&](StackNode node) {
    for (size_t i = begin; i < out.size(); ++i) {
      if (out[i] == node) return;
    }
    if (out.size() - begin >= kMaxSet) {
      throw Error(ErrorCode::kResourceExhausted,
                  "grammar: too ambiguous: over 1024 readings of one text at once");
    }
    out.push_back(node);
  };
  size_t at = out.size();
  add({frame, state});
  for (; at < out.size(); ++at) {
    const StackNode node = out[at];
    if (a_.simple[node.state] || node.state == 0) continue;
    for (uint32_t i = a_.call_begin[node.state]; i < a_.call_begin[node.state + 1]; ++i) {
      const Call& call = a_.calls[i];
      if (a_.is_end(call.back)) {
        add({node.frame, call.start});
        continue;
      }
      const uint32_t above = push(call.back, node.frame);
      if (above != kNone) add({above, call.start});
    }
    if (a_.accepts[node.state]) {
      if (node.frame == 0) {
        add({0, 0});
      } else {
        const Frame& f = frames_[node.frame];
        add({f.parent, f.back});
      }
    }
  }
}

void Stacks::tidy(std::vector<StackNode>& out, size_t begin) const {
  size_t keep = begin;
  for (size_t i = begin; i < out.size(); ++i) {
    if (out[i].state == 0 || a_.reads[out[i].state]) out[keep++] = out[i];
  }
  out.resize(keep);
}

void Stacks::step(uint8_t byte, std::vector<StackNode>& out, size_t from, size_t to) {
  const size_t begin = out.size();
  for (size_t i = from; i < to; ++i) {
    const State next = a_.step(out[i].state, byte);
    if (next) expand(next, out[i].frame, out, begin);
  }
  tidy(out, begin);
}

void Stacks::pop(uint32_t frame, std::vector<StackNode>& out) {
  const size_t begin = out.size();
  if (frame == 0) {
    out.push_back({0, 0});
    return;
  }
  const Frame f = frames_[frame];
  expand(f.back, f.parent, out, begin);
  tidy(out, begin);
}

}  // namespace hoist::text::grammar
