#include "text/grammar/expr.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"

namespace hoist::text::grammar {

CodeSet CodeSet::range(uint32_t low, uint32_t high) {
  CodeSet set;
  set.add(low, high);
  return set;
}

void CodeSet::add(uint32_t low, uint32_t high) {
  if (low <= 0xDFFF && high >= 0xD800) {
    if (low < 0xD800) add(low, 0xD7FF);
    if (high > 0xDFFF) add(0xE000, high);
    return;
  }
  if (low > high) return;
  auto at = std::lower_bound(ranges_.begin(), ranges_.end(), low,
                             [](const auto& r, uint32_t l) { return uint64_t{r.second} + 1 < l; });
  auto end = at;
  for (; end != ranges_.end() && end->first <= high + 1; ++end) {
    low = std::min(low, end->first);
    high = std::max(high, end->second);
  }
  at = ranges_.erase(at, end);
  ranges_.insert(at, {low, high});
}

void CodeSet::add(const CodeSet& other) {
  for (const auto& [low, high] : other.ranges_) add(low, high);
}

CodeSet CodeSet::complement() const {
  CodeSet out;
  uint32_t next = 0;
  for (const auto& [low, high] : ranges_) {
    if (low > next) out.add(next, low - 1);
    next = high + 1;
  }
  if (next <= 0x10FFFF) out.add(next, 0x10FFFF);
  return out;
}

CodeSet CodeSet::minus(const CodeSet& other) const {
  CodeSet sum = complement();
  sum.add(other);
  return sum.complement();
}

RuleSet::RuleSet() {
  exprs_.push_back({ExprKind::kNever});
  exprs_.push_back({ExprKind::kLiteral});
}

ExprId RuleSet::add(Expr expr) {
  if (exprs_.size() >= kMaxExprs) {
    throw Error(ErrorCode::kResourceExhausted,
                fmt::format("grammar: more than {} expressions; make it smaller", kMaxExprs));
  }
  exprs_.push_back(std::move(expr));
  return static_cast<ExprId>(exprs_.size() - 1);
}

ExprId RuleSet::literal(std::string_view text) {
  if (text.empty()) return empty();
  Expr e{ExprKind::kLiteral};
  e.text = text;
  return add(std::move(e));
}

ExprId RuleSet::bytes(uint8_t low, uint8_t high) { return add({ExprKind::kBytes, low, high}); }

ExprId RuleSet::seq(std::vector<ExprId> kids) {
  if (kids.empty()) return empty();
  if (kids.size() == 1) return kids[0];
  Expr e{ExprKind::kSeq};
  e.kids = std::move(kids);
  return add(std::move(e));
}

ExprId RuleSet::alt(std::vector<ExprId> kids) {
  if (kids.empty()) return never();
  if (kids.size() == 1) return kids[0];
  Expr e{ExprKind::kAlt};
  e.kids = std::move(kids);
  return add(std::move(e));
}

ExprId RuleSet::repeat(ExprId kid, uint32_t low, uint32_t high) {
  if (high == 0) return empty();
  if (low == 1 && high == 1) return kid;
  Expr e{ExprKind::kRepeat, low, high};
  e.kids = {kid};
  return add(std::move(e));
}

ExprId RuleSet::call(RuleId rule) { return add({ExprKind::kRule, rule}); }

ExprId RuleSet::graph(uint32_t states, std::vector<GraphEdge> edges) {
  Expr e{ExprKind::kGraph, states};
  e.edges = std::move(edges);
  return add(std::move(e));
}

RuleId RuleSet::add_rule(std::string name, bool shared) {
  if (rules_.size() >= kMaxRules) {
    throw Error(ErrorCode::kResourceExhausted,
                fmt::format("grammar: more than {} rules; make it smaller", kMaxRules));
  }
  rules_.push_back({std::move(name), 0, shared});
  return static_cast<RuleId>(rules_.size() - 1);
}

namespace {

using ByteRange = std::pair<uint8_t, uint8_t>;
using Sequence = std::vector<ByteRange>;  // one range per byte

size_t encode(uint32_t c, uint8_t* out) {
  if (c < 0x80) return out[0] = static_cast<uint8_t>(c), 1;
  const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; --i, c >>= 6) out[i] = static_cast<uint8_t>(0x80 | (c & 0x3F));
  out[0] = static_cast<uint8_t>((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | c);
  return n;
}

// Splits low..high until every part is a product of byte ranges.
void split(uint32_t low, uint32_t high, std::vector<Sequence>& out) {
  std::vector<std::pair<uint32_t, uint32_t>> todo = {{low, high}};
  while (!todo.empty()) {
    auto [a, b] = todo.back();
    todo.pop_back();
    bool whole = true;
    for (const uint32_t limit : {0x7Fu, 0x7FFu, 0xFFFFu}) {
      if (a <= limit && b > limit) {
        todo.push_back({limit + 1, b});
        todo.push_back({a, limit});
        whole = false;
        break;
      }
    }
    // All but the last bytes must agree, unless the tails run over their full range.
    for (int i = 1; whole && b >= 0x80 && i < 4; ++i) {
      const uint32_t tail = (1u << (6 * i)) - 1;
      if ((a & ~tail) == (b & ~tail)) continue;
      if ((a & tail) != 0) {
        todo.push_back({(a | tail) + 1, b});
        todo.push_back({a, a | tail});
        whole = false;
      } else if ((b & tail) != tail) {
        todo.push_back({b & ~tail, b});
        todo.push_back({a, (b & ~tail) - 1});
        whole = false;
      }
    }
    if (!whole) continue;
    uint8_t from[4], to[4];
    const size_t n = encode(a, from);
    encode(b, to);
    Sequence s;
    for (size_t i = 0; i < n; ++i) s.push_back({from[i], to[i]});
    out.push_back(std::move(s));
  }
}

// One graph for all sequences in which equal tails are one state.
ExprId sequences_graph(RuleSet& rules, const std::vector<Sequence>& sequences) {
  if (sequences.empty()) return rules.never();
  std::map<Sequence, uint32_t> states = {{{}, 1}};
  uint32_t count = 2;
  std::vector<GraphEdge> edges;
  for (const Sequence& s : sequences) {
    uint32_t to = 1;
    for (size_t at = s.size(); at-- > 0;) {
      const Sequence tail(s.begin() + static_cast<ptrdiff_t>(at), s.end());
      if (at == 0) {
        edges.push_back({0, to, rules.bytes(s[0].first, s[0].second)});
        break;
      }
      const auto [found, is_new] = states.emplace(tail, count);
      if (is_new) {
        ++count;
        edges.push_back({found->second, to, rules.bytes(s[at].first, s[at].second)});
      }
      to = found->second;
    }
  }
  return rules.graph(count, std::move(edges));
}

}  // namespace

ExprId utf8_char(RuleSet& rules, const CodeSet& set) {
  std::vector<Sequence> sequences;
  for (const auto& [low, high] : set.ranges()) split(low, high, sequences);
  return sequences_graph(rules, sequences);
}

ExprId json_char(RuleSet& rules, const CodeSet& set) {
  std::vector<Sequence> sequences;
  const auto add_text = [&](std::string_view text) {
    Sequence s;
    for (const char c : text) s.push_back({static_cast<uint8_t>(c), static_cast<uint8_t>(c)});
    sequences.push_back(std::move(s));
  };
  CodeSet escaped = CodeSet::range(0, 0x1F);
  escaped.add('"', '"');
  escaped.add('\\', '\\');
  const CodeSet direct = set.minus(escaped), spelled = set.minus(escaped.complement());
  for (const auto& [low, high] : direct.ranges()) split(low, high, sequences);
  for (const auto& [low, high] : spelled.ranges()) {
    for (uint32_t c = low; c <= high; ++c) {
      constexpr std::string_view kFrom = "\b\f\n\r\t\"\\", kTo = "bfnrt\"\\";
      const size_t at = kFrom.find(static_cast<char>(c));
      add_text(at != std::string_view::npos ? fmt::format("\\{}", kTo[at]) : fmt::format("\\u{:04x}", c));
    }
  }
  return sequences_graph(rules, sequences);
}

}  // namespace hoist::text::grammar
