#include "text/grammar/costs.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "text/grammar/stacks.h"

namespace hoist::text::grammar {
namespace {

constexpr uint16_t kRetryDepth = 64;
constexpr uint64_t kRetryWork = 400'000'000;  // trie nodes times states

// How the cheapest way goes on from a state.
struct Way {
  enum Kind : uint8_t { kNone, kEnd, kByte, kCall } kind = kNone;
  uint8_t byte = 0;
  uint32_t call = 0;
};

class Finder {
 public:
  Finder(const Automaton& a, const TokenTable& table) : a_(a), table_(table), ways_(a.states()) {
    costs_.tokens.assign(a.states(), kCannot);
    costs_.depth.assign(a.states(), 0);
    costs_.tokens[0] = 0;
  }

  Costs run() {
    by_single_bytes();
    shorten();
    if (!table_.writes_every_byte()) retry();
    for (size_t s = 1; s < a_.states(); ++s) {
      if (costs_.tokens[s] != kCannot) costs_.max_depth = std::max(costs_.max_depth, costs_.depth[s]);
    }
    return std::move(costs_);
  }

 private:
  struct Reader {
    State from;
    uint8_t byte;
  };
  struct Caller {
    State from;
    uint32_t call;
  };

  void by_single_bytes() {
    const size_t n = a_.states();
    std::vector<int> byte_of(a_.classes, -1);  // one that the vocabulary can write
    for (int b = 255; b >= 0; --b) {
      if (table_.writes_byte(static_cast<uint8_t>(b))) byte_of[a_.byte_class[b]] = b;
    }
    std::vector<std::vector<Reader>> readers(n);
    std::vector<std::vector<Caller>> callers(n);
    for (size_t s = 1; s < n; ++s) {
      for (uint32_t c = 0; c < a_.classes; ++c) {
        const State to = a_.next[s * a_.classes + c];
        if (to == 0 || byte_of[c] < 0 || (!readers[to].empty() && readers[to].back().from == s)) continue;
        readers[to].push_back({static_cast<State>(s), static_cast<uint8_t>(byte_of[c])});
      }
      for (uint32_t i = a_.call_begin[s]; i < a_.call_begin[s + 1]; ++i) {
        callers[a_.calls[i].start].push_back({static_cast<State>(s), i});
        if (a_.calls[i].back != a_.calls[i].start)
          callers[a_.calls[i].back].push_back({static_cast<State>(s), i});
      }
    }
    using Item = std::pair<uint32_t, State>;
    std::priority_queue<Item, std::vector<Item>, std::greater<>> queue;
    const auto offer = [&](State s, uint32_t cost, Way way) {
      if (cost >= costs_.tokens[s]) return;
      costs_.tokens[s] = cost;
      ways_[s] = way;
      queue.push({cost, s});
    };
    for (size_t s = 1; s < n; ++s) {
      if (a_.accepts[s]) offer(static_cast<State>(s), 0, {Way::kEnd});
    }
    std::vector<uint8_t> done(n, 0);
    while (!queue.empty()) {
      const auto [cost, s] = queue.top();
      queue.pop();
      if (done[s]) continue;
      done[s] = 1;
      order_.push_back(s);
      for (const Reader& r : readers[s]) offer(r.from, add_costs(cost, 1), {Way::kByte, r.byte});
      for (const Caller& c : callers[s]) {
        const Call& call = a_.calls[c.call];
        if (!done[call.start] || !done[call.back]) continue;
        offer(c.from, add_costs(costs_.tokens[call.start], costs_.tokens[call.back]),
              {Way::kCall, 0, c.call});
      }
    }
  }

  // Child of `node` (or of the trie, for nodes()) by `byte`; nodes() if there is none.
  uint32_t child(uint32_t node, uint8_t byte) const {
    const auto none = static_cast<uint32_t>(table_.nodes());
    const uint32_t end = node == none ? none : table_.node(node).skip;
    for (uint32_t i = node == none ? 0 : node + 1; i < end; i = table_.node(i).skip) {
      if (table_.node(i).byte == byte) return i;
    }
    return none;
  }

  // Where bytes follow one another on the cheapest way, longer tokens take several at once. In the order of
  // the costs by bytes, so what lies ahead is settled.
  void shorten() {
    const auto none = static_cast<uint32_t>(table_.nodes());
    std::vector<uint32_t> roots(256, none);
    for (int b = 0; b < 256; ++b) roots[b] = child(none, static_cast<uint8_t>(b));
    for (const State s : order_) {
      const Way& way = ways_[s];
      if (way.kind == Way::kCall) {
        const Call& call = a_.calls[way.call];
        costs_.tokens[s] = add_costs(costs_.tokens[call.start], costs_.tokens[call.back]);
        costs_.depth[s] = std::max<uint16_t>(
            static_cast<uint16_t>(std::min(65534, costs_.depth[call.start] + 1)), costs_.depth[call.back]);
      }
      if (way.kind != Way::kByte) continue;
      State at = s;
      uint32_t best = kCannot;
      for (uint32_t node = none; ways_[at].kind == Way::kByte;) {
        const uint8_t byte = ways_[at].byte;
        node = node == none ? roots[byte] : child(node, byte);
        if (node == none) break;
        at = a_.step(at, byte);
        if (!table_.has_tokens(node)) continue;
        const uint32_t cost = add_costs(costs_.tokens[at], 1);
        if (cost < best) best = cost, costs_.depth[s] = costs_.depth[at];
      }
      costs_.tokens[s] = best;
    }
  }

  // The vocabulary lacks bytes, and some states cannot be finished byte by byte: one token of any length,
  // into calls and out of them again, to where the rest can be finished; until nothing changes.
  void retry() {
    std::vector<State> left;
    for (size_t s = 1; s < a_.states(); ++s) {
      if (costs_.tokens[s] == kCannot) left.push_back(static_cast<State>(s));
    }
    Costs none;  // the walk must not judge by costs that are still to be found
    none.tokens.assign(a_.states(), 0);
    none.depth.assign(a_.states(), 0);
    Stacks stacks(a_, none, kRetryDepth);
    std::vector<StackNode> pool;
    uint64_t work = 0;
    for (bool changed = true; changed;) {
      changed = false;
      for (State& s : left) {
        if (s == 0) continue;
        work += table_.nodes();
        if (work > kRetryWork) return;
        uint32_t best = kCannot;
        uint16_t depth = 0;
        const size_t frames = stacks.size();
        stacks.reach = 0;
        pool.clear();
        stacks.expand(s, 0, pool, 0);
        stacks.tidy(pool, 0);
        stacks.walk(table_, 0, static_cast<uint32_t>(table_.nodes()), 0, pool, 0,
                    [&](uint32_t node, const StackNode* set, size_t count) {
                      if (!table_.has_tokens(node)) return;
                      for (size_t i = 0; i < count; ++i) {
                        if (set[i].state == 0) continue;  // out of this rule: not ours to judge
                        uint32_t cost = add_costs(costs_.tokens[set[i].state], 1);
                        uint32_t deep = stacks.frame(set[i].frame).depth + 0u + costs_.depth[set[i].state];
                        for (uint32_t f = set[i].frame; f != 0; f = stacks.frame(f).parent) {
                          cost = add_costs(cost, costs_.tokens[stacks.frame(f).back]);
                          deep = std::max<uint32_t>(
                              deep, stacks.frame(f).depth + costs_.depth[stacks.frame(f).back]);
                        }
                        if (cost < best)
                          best = cost, depth = static_cast<uint16_t>(std::max(deep, stacks.reach));
                      }
                    });
        stacks.truncate(frames);
        if (best == kCannot) continue;
        costs_.tokens[s] = best;
        costs_.depth[s] = depth;
        s = 0;
        changed = true;
      }
    }
  }

  const Automaton& a_;
  const TokenTable& table_;
  Costs costs_;
  std::vector<Way> ways_;
  std::vector<State> order_;
};

}  // namespace

Costs find_costs(const Automaton& a, const TokenTable& table) { return Finder(a, table).run(); }

}  // namespace hoist::text::grammar
