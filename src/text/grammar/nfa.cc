#include "text/grammar/nfa.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace hoist::text::grammar {
namespace {

constexpr uint64_t kInlineWeight = 48;  // expressions a rule may have to be copied into its callers
constexpr int kInlineDepth = 8;

class Builder {
 public:
  explicit Builder(const RuleSet& rules) : rules_(rules) { choose_inlined(); }

  Nfa build(ExprId root) {
    nfa_.rules.push_back({"root", state(), state()});
    expand(root, nfa_.rules[0].start, nfa_.rules[0].end);
    while (!todo_.empty()) {
      const RuleId rule = todo_.back();
      todo_.pop_back();
      const NfaRule at = nfa_.rules[number_.at(rule)];
      expand(rules_.rule(rule).body, at.start, at.end);
    }
    std::stable_sort(nfa_.edges.begin(), nfa_.edges.end(),
                     [](const NfaEdge& a, const NfaEdge& b) { return a.from < b.from; });
    nfa_.begin.assign(nfa_.states + 1, 0);
    for (const NfaEdge& e : nfa_.edges) ++nfa_.begin[e.from + 1];
    for (uint32_t s = 0; s < nfa_.states; ++s) nfa_.begin[s + 1] += nfa_.begin[s];
    return std::move(nfa_);
  }

 private:
  // A rule may be copied when all it calls may be; by rounds, so that what leads back to itself never is.
  void choose_inlined() {
    const size_t n = rules_.rule_count();
    inlined_.assign(n, 0);
    std::vector<uint64_t> weight(n, UINT64_MAX);
    for (int round = 0; round < kInlineDepth; ++round) {
      std::vector<std::pair<RuleId, uint64_t>> found;
      for (RuleId r = 0; r < n; ++r) {
        if (rules_.rule(r).shared || inlined_[r]) continue;
        const uint64_t w = weigh(rules_.rule(r).body, weight);
        if (w <= kInlineWeight) found.push_back({r, w});
      }
      for (const auto& [r, w] : found) weight[r] = w, inlined_[r] = 1;
      if (found.empty()) break;
    }
  }

  uint64_t weigh(ExprId root, const std::vector<uint64_t>& weight) const {
    uint64_t total = 0;
    std::vector<ExprId> todo = {root};
    while (!todo.empty() && total <= kInlineWeight) {
      const Expr& e = rules_.expr(todo.back());
      todo.pop_back();
      total += 1 + e.text.size() / 4;
      if (e.kind == ExprKind::kRule) {
        if (!inlined_[e.low]) return UINT64_MAX;
        total += weight[e.low];
      }
      if (e.kind == ExprKind::kRepeat) total += e.high == kUnbounded ? e.low : e.high;
      for (const ExprId kid : e.kids) todo.push_back(kid);
      for (const GraphEdge& edge : e.edges) todo.push_back(edge.label);
    }
    return total;
  }

  uint32_t state() {
    if (nfa_.states >= Nfa::kMaxStates) too_big();
    return nfa_.states++;
  }

  void edge(uint32_t from, uint32_t to, NfaEdge::Kind kind, uint8_t low = 0, uint8_t high = 0,
            uint32_t rule = 0) {
    if (nfa_.edges.size() >= Nfa::kMaxEdges) too_big();
    nfa_.edges.push_back({from, to, kind, low, high, rule});
  }

  [[noreturn]] void too_big() const {
    throw Error(
        ErrorCode::kResourceExhausted,
        "grammar: too large once its repetitions are written out; lower the counts ({m,n}, maxLength, "
        "maxItems)");
  }

  uint32_t number_of(RuleId rule) {
    const auto [found, is_new] = number_.emplace(rule, static_cast<uint32_t>(nfa_.rules.size()));
    if (is_new) {
      nfa_.rules.push_back({rules_.rule(rule).name, state(), state()});
      todo_.push_back(rule);
    }
    return found->second;
  }

  // Recursion is bounded: parsers cap nesting, and copies go kInlineDepth deep.
  void expand(ExprId id, uint32_t from, uint32_t to) {
    const Expr& e = rules_.expr(id);
    switch (e.kind) {
      case ExprKind::kNever: return;
      case ExprKind::kLiteral: {
        if (e.text.empty()) return edge(from, to, NfaEdge::kEmpty);
        for (size_t i = 0; i < e.text.size(); ++i) {
          const uint32_t next = i + 1 == e.text.size() ? to : state();
          const auto byte = static_cast<uint8_t>(e.text[i]);
          edge(from, next, NfaEdge::kByte, byte, byte);
          from = next;
        }
        return;
      }
      case ExprKind::kBytes:
        return edge(from, to, NfaEdge::kByte, static_cast<uint8_t>(e.low), static_cast<uint8_t>(e.high));
      case ExprKind::kSeq:
        for (size_t i = 0; i < e.kids.size(); ++i) {
          const uint32_t next = i + 1 == e.kids.size() ? to : state();
          expand(e.kids[i], from, next);
          from = next;
        }
        return;
      case ExprKind::kAlt:
        for (const ExprId kid : e.kids) expand(kid, from, to);
        return;
      case ExprKind::kRepeat: return expand_repeat(e, from, to);
      case ExprKind::kRule:
        if (inlined_[e.low]) {
          const uint32_t a = state(), b = state();  // its body may loop through its ends
          edge(from, a, NfaEdge::kEmpty);
          expand(rules_.rule(e.low).body, a, b);
          return edge(b, to, NfaEdge::kEmpty);
        }
        return edge(from, to, NfaEdge::kCall, 0, 0, number_of(e.low));
      case ExprKind::kGraph: {
        std::vector<uint32_t> map(e.low);
        for (uint32_t& s : map) s = state();
        edge(from, map[0], NfaEdge::kEmpty);
        for (const GraphEdge& g : e.edges) expand(g.label, map[g.from], map[g.to]);
        return edge(map[1], to, NfaEdge::kEmpty);
      }
    }
  }

  void expand_repeat(const Expr& e, uint32_t from, uint32_t to) {
    const ExprId kid = e.kids[0];
    const uint32_t low = e.low, high = e.high;
    uint32_t at = state();
    edge(from, at, NfaEdge::kEmpty);
    for (uint32_t i = 0; i < low; ++i) {
      const uint32_t next = state();
      expand(kid, at, next);
      at = next;
    }
    if (high == kUnbounded) {
      const uint32_t loop = state();
      edge(at, loop, NfaEdge::kEmpty);
      expand(kid, loop, loop);
      return edge(loop, to, NfaEdge::kEmpty);
    }
    edge(at, to, NfaEdge::kEmpty);
    for (uint32_t i = low; i < high; ++i) {
      const uint32_t next = state();
      expand(kid, at, next);
      edge(next, to, NfaEdge::kEmpty);
      at = next;
    }
  }

  const RuleSet& rules_;
  Nfa nfa_;
  std::vector<uint8_t> inlined_;
  std::unordered_map<RuleId, uint32_t> number_;
  std::vector<RuleId> todo_;
};

}  // namespace

Nfa build_nfa(const RuleSet& rules, ExprId root) { return Builder(rules).build(root); }

}  // namespace hoist::text::grammar
