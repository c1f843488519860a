// automaton.h's compile: subsets of the nondeterministic automaton become states, then states that lead
// nowhere go and left recursion is refused.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/error.h"
#include "text/flat_map.h"
#include "text/grammar/automaton.h"
#include "text/grammar/nfa.h"

namespace hoist::text::grammar {
namespace {

using Set = std::vector<uint32_t>;  // sorted NFA states that matter: they read, call or end

class Determinizer {
 public:
  explicit Determinizer(const Nfa& nfa) : nfa_(nfa), mark_(nfa.states, 0) {}

  Automaton run() {
    find_classes();
    new_state();  // 0: dead
    for (const NfaRule& rule : nfa_.rules) {
      sets_.clear();
      index_.clear();
      end_ = rule.end;
      starts_.push_back(intern(close({rule.start})));
      while (!todo_.empty()) {
        const Pending work = std::move(todo_.back());
        todo_.pop_back();
        fill(work.state, *work.set);
      }
    }
    out_.root = starts_[0];
    gather_calls();
    return std::move(out_);
  }

  const std::vector<State>& starts() const { return starts_; }

 private:
  struct Pending {
    State state;
    const Set* set;
  };
  struct PendingCall {
    State from, back;
    uint32_t rule;
  };

  void find_classes() {
    std::array<uint8_t, 257> cut{};
    for (const NfaEdge& e : nfa_.edges) {
      if (e.kind != NfaEdge::kByte) continue;
      cut[e.low] = 1;
      cut[e.high + 1] = 1;
    }
    uint32_t c = 0;
    for (int b = 0; b < 256; ++b) {
      if (b > 0 && cut[b]) ++c;
      out_.byte_class[b] = static_cast<uint8_t>(c);
    }
    out_.classes = c + 1;
  }

  State new_state() {
    if (out_.accepts.size() >= Automaton::kMaxStates) {
      throw Error(
          ErrorCode::kResourceExhausted,
          fmt::format("grammar: more than {} states; lower the counts ({{m,n}}, maxLength, maxItems) or "
                      "split it",
                      Automaton::kMaxStates));
    }
    out_.accepts.push_back(0);
    out_.next.resize(out_.next.size() + out_.classes, 0);
    return static_cast<State>(out_.accepts.size() - 1);
  }

  // Subsets can be exponentially many and large: what is counted is the work.
  void charge(size_t work) {
    work_ += work;
    if (work_ > kMaxWork) {
      throw Error(
          ErrorCode::kResourceExhausted,
          "grammar: too large or too ambiguous to be made deterministic; lower the counts ({m,n}, maxLength, "
          "maxItems)");
    }
  }

  Set close(Set todo) {
    ++stamp_;
    Set out;
    for (const uint32_t s : todo) mark_[s] = stamp_;
    while (!todo.empty()) {
      const uint32_t s = todo.back();
      todo.pop_back();
      charge(1 + nfa_.begin[s + 1] - nfa_.begin[s]);
      bool matters = s == end_;
      for (uint32_t i = nfa_.begin[s]; i < nfa_.begin[s + 1]; ++i) {
        const NfaEdge& e = nfa_.edges[i];
        if (e.kind != NfaEdge::kEmpty) {
          matters = true;
        } else if (mark_[e.to] != stamp_) {
          mark_[e.to] = stamp_;
          todo.push_back(e.to);
        }
      }
      if (matters) out.push_back(s);
    }
    std::sort(out.begin(), out.end());
    charge(out.size() + 1);
    return out;
  }

  State intern(Set set) {
    if (set.empty()) return 0;
    uint64_t hash = set.size();
    for (const uint32_t s : set) hash = mix_bits(hash ^ s);
    auto& bucket = index_[hash];
    for (const auto& [known, state] : bucket) {
      if (*known == set) return state;
    }
    const State state = new_state();
    sets_.push_back(std::make_unique<Set>(std::move(set)));
    bucket.push_back({sets_.back().get(), state});
    todo_.push_back({state, sets_.back().get()});
    return state;
  }

  void fill(State state, const Set& set) {
    std::vector<const NfaEdge*> reads;
    std::map<uint32_t, Set> calls;
    for (const uint32_t s : set) {
      if (s == end_) out_.accepts[state] = 1;
      for (uint32_t i = nfa_.begin[s]; i < nfa_.begin[s + 1]; ++i) {
        const NfaEdge& e = nfa_.edges[i];
        if (e.kind == NfaEdge::kByte) reads.push_back(&e);
        if (e.kind == NfaEdge::kCall) calls[e.rule].push_back(e.to);
      }
    }
    std::array<uint8_t, 257> cut{};
    for (const NfaEdge* e : reads) cut[e->low] = cut[e->high + 1] = 1;
    std::sort(reads.begin(), reads.end(), [](const NfaEdge* a, const NfaEdge* b) { return a->low < b->low; });
    size_t first = 0, last = 0;  // reads[first..last) may cover the current interval
    for (int low = 0; low < 256;) {
      int high = low;
      while (high < 255 && !cut[high + 1]) ++high;
      while (last < reads.size() && reads[last]->low <= low) ++last;
      while (first < last && reads[first]->high < low) ++first;
      Set to;
      charge(last - first);
      for (size_t i = first; i < last; ++i) {
        if (reads[i]->high >= low) to.push_back(reads[i]->to);
      }
      if (!to.empty()) {
        std::sort(to.begin(), to.end());
        to.erase(std::unique(to.begin(), to.end()), to.end());
        const State target = intern(close(std::move(to)));
        for (int c = out_.byte_class[low]; c <= out_.byte_class[high]; ++c) {
          out_.next[size_t{state} * out_.classes + c] = target;
        }
      }
      low = high + 1;
    }
    for (auto& [rule, to] : calls) {
      std::sort(to.begin(), to.end());
      to.erase(std::unique(to.begin(), to.end()), to.end());
      const State back = intern(close(std::move(to)));
      pending_calls_.push_back({state, back, rule});
    }
  }

  void gather_calls() {
    std::stable_sort(pending_calls_.begin(), pending_calls_.end(),
                     [](const PendingCall& a, const PendingCall& b) { return a.from < b.from; });
    out_.call_begin.assign(out_.states() + 1, 0);
    for (const PendingCall& c : pending_calls_) {
      ++out_.call_begin[c.from + 1];
      out_.calls.push_back({starts_[c.rule], c.back});
    }
    for (size_t s = 0; s < out_.states(); ++s) out_.call_begin[s + 1] += out_.call_begin[s];
  }

  const Nfa& nfa_;
  Automaton out_;
  uint32_t end_ = 0, stamp_ = 0;
  static constexpr size_t kMaxWork = 20'000'000;
  size_t work_ = 0;
  std::vector<uint32_t> mark_;
  std::vector<std::unique_ptr<Set>> sets_;
  std::unordered_map<uint64_t, std::vector<std::pair<const Set*, State>>> index_;
  std::vector<Pending> todo_;
  std::vector<PendingCall> pending_calls_;
  std::vector<State> starts_;
};

// States from which the end of the rule can be reached; fixed point by rounds over what changed.
std::vector<uint8_t> find_useful(const Automaton& a) {
  const size_t n = a.states();
  std::vector<std::vector<State>> users(n);
  for (size_t s = 1; s < n; ++s) {
    for (uint32_t c = 0; c < a.classes; ++c) {
      const State to = a.next[s * a.classes + c];
      if (to && (users[to].empty() || users[to].back() != s)) users[to].push_back(static_cast<State>(s));
    }
    for (uint32_t i = a.call_begin[s]; i < a.call_begin[s + 1]; ++i) {
      users[a.calls[i].start].push_back(static_cast<State>(s));
      users[a.calls[i].back].push_back(static_cast<State>(s));
    }
  }
  std::vector<uint8_t> useful(n, 0);
  std::vector<State> todo;
  for (size_t s = 1; s < n; ++s) {
    if (a.accepts[s]) useful[s] = 1, todo.push_back(static_cast<State>(s));
  }
  while (!todo.empty()) {
    const State at = todo.back();
    todo.pop_back();
    for (const State s : users[at]) {
      if (useful[s]) continue;
      bool now = false;
      for (uint32_t c = 0; c < a.classes && !now; ++c) now = useful[a.next[size_t{s} * a.classes + c]];
      for (uint32_t i = a.call_begin[s]; i < a.call_begin[s + 1] && !now; ++i) {
        now = useful[a.calls[i].start] && useful[a.calls[i].back];
      }
      if (now) useful[s] = 1, todo.push_back(s);
    }
  }
  return useful;
}

void drop_useless(Automaton& a) {
  const std::vector<uint8_t> useful = find_useful(a);
  if (!useful[a.root]) throw_invalid("grammar: matches no text at all");
  for (State& to : a.next) {
    if (!useful[to]) to = 0;
  }
  std::vector<Call> calls;
  std::vector<uint32_t> begin = {0};
  for (size_t s = 0; s < a.states(); ++s) {
    for (uint32_t i = a.call_begin[s]; i < a.call_begin[s + 1]; ++i) {
      if (useful[a.calls[i].start] && useful[a.calls[i].back]) calls.push_back(a.calls[i]);
    }
    begin.push_back(static_cast<uint32_t>(calls.size()));
  }
  a.calls = std::move(calls);
  a.call_begin = std::move(begin);
}

void refuse_left_recursion(const Automaton& a, const Nfa& nfa, const std::vector<State>& starts) {
  // A rule may be empty if its start reaches an end by calls of such rules alone.
  std::vector<uint8_t> nullable(a.states(), 0);  // by start state
  const size_t n = starts.size();
  std::vector<uint32_t> seen(a.states(), 0);
  uint32_t stamp = 0;
  // What is reached from a start before any byte, and whether the rule can end there.
  const auto reach = [&](State start, std::vector<State>& reached) {
    reached = {start};
    seen[start] = ++stamp;
    bool ends = false;
    for (size_t i = 0; i < reached.size(); ++i) {
      const State s = reached[i];
      ends |= a.accepts[s] != 0;
      for (uint32_t c = a.call_begin[s]; c < a.call_begin[s + 1]; ++c) {
        const State back = a.calls[c].back;
        if (nullable[a.calls[c].start] && seen[back] != stamp) seen[back] = stamp, reached.push_back(back);
      }
    }
    return ends;
  };
  std::vector<State> reached;
  for (bool changed = true; changed;) {
    changed = false;
    for (const State start : starts) {
      if (!nullable[start] && reach(start, reached)) nullable[start] = 1, changed = true;
    }
  }
  std::unordered_map<State, size_t> rule_of;
  for (size_t r = 0; r < n; ++r) rule_of.emplace(starts[r], r);
  std::vector<std::vector<size_t>> first(n);
  for (size_t r = 0; r < n; ++r) {
    reach(starts[r], reached);
    for (const State s : reached) {
      for (uint32_t c = a.call_begin[s]; c < a.call_begin[s + 1]; ++c) {
        first[r].push_back(rule_of.at(a.calls[c].start));
      }
    }
  }
  std::vector<uint8_t> color(n, 0);  // 1: on the path, 2: done
  for (size_t r = 0; r < n; ++r) {
    if (color[r]) continue;
    std::vector<std::pair<size_t, size_t>> path = {{r, 0}};
    color[r] = 1;
    while (!path.empty()) {
      auto& [at, edge] = path.back();
      if (edge == first[at].size()) {
        color[at] = 2;
        path.pop_back();
        continue;
      }
      const size_t to = first[at][edge++];
      if (color[to] == 1) {
        throw_invalid(fmt::format(
            "grammar: rule {} calls itself before it has read anything (left recursion); write it as a "
            "repetition",
            nfa.rules[to].name));
      }
      if (color[to] == 0) color[to] = 1, path.push_back({to, 0});
    }
  }
}

void summarize(Automaton& a) {
  const size_t n = a.states();
  a.reads.assign(n, 0);
  a.simple.assign(n, 0);
  a.only_byte.assign(n, -1);
  for (size_t s = 1; s < n; ++s) {
    for (int b = 0; b < 256; ++b) {
      if (!a.step(static_cast<State>(s), static_cast<uint8_t>(b))) continue;
      a.only_byte[s] = a.reads[s] ? int16_t{-2} : static_cast<int16_t>(b);
      a.reads[s] = 1;
    }
    a.simple[s] = !a.accepts[s] && a.call_begin[s] == a.call_begin[s + 1];
  }
}

}  // namespace

Automaton compile(const RuleSet& rules, ExprId root) {
  const Nfa nfa = build_nfa(rules, root);
  Determinizer determinizer(nfa);
  Automaton a = determinizer.run();
  drop_useless(a);
  refuse_left_recursion(a, nfa, determinizer.starts());
  summarize(a);
  return a;
}

ExprId combine(RuleSet& rules, ExprId first, ExprId second, RegularOp op, const std::string& what) {
  constexpr size_t kMaxPairs = 20'000;
  // A side that matches nothing has no automaton.
  const auto build = [&](ExprId e) {
    Automaton a;
    try {
      a = compile(rules, e);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInvalidArgument) throw;
      a = compile(rules, rules.empty());
      a.root = 0;
    }
    if (!a.calls.empty()) throw_unsupported(what + ": combines what is not regular");
    return a;
  };
  const Automaton a = build(first), b = build(second);
  std::map<std::pair<State, State>, uint32_t> number;
  std::vector<std::pair<State, State>> pairs;
  std::vector<GraphEdge> edges;
  const auto id_of = [&](State x, State y) {
    const auto [found, is_new] = number.emplace(std::pair{x, y}, pairs.size());
    if (is_new) pairs.push_back({x, y});
    if (pairs.size() > kMaxPairs) {
      throw Error(ErrorCode::kResourceExhausted,
                  fmt::format("{}: more than {} states when combined", what, kMaxPairs));
    }
    return found->second >= 1 ? found->second + 1 : 0;  // state 1 is the end
  };
  if (a.root == 0 || (op == RegularOp::kBoth && b.root == 0)) return rules.never();
  id_of(a.root, b.root);
  for (uint32_t i = 0; i < pairs.size(); ++i) {
    const auto [x, y] = pairs[i];
    const uint32_t from = i >= 1 ? i + 1 : 0;
    if (a.accepts[x] && (b.accepts[y] != 0) == (op == RegularOp::kBoth)) {
      edges.push_back({from, 1, rules.empty()});
    }
    for (int low = 0; low < 256;) {
      const State p = a.step(x, static_cast<uint8_t>(low)), q = b.step(y, static_cast<uint8_t>(low));
      int high = low;
      while (high < 255 && a.step(x, static_cast<uint8_t>(high + 1)) == p &&
             b.step(y, static_cast<uint8_t>(high + 1)) == q) {
        ++high;
      }
      if (p && (q || op == RegularOp::kFirstOnly)) {
        edges.push_back(
            {from, id_of(p, q), rules.bytes(static_cast<uint8_t>(low), static_cast<uint8_t>(high))});
      }
      low = high + 1;
    }
  }
  return rules.graph(static_cast<uint32_t>(pairs.size() + 1), std::move(edges));
}

}  // namespace hoist::text::grammar
