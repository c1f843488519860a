// What every front end (EBNF, regular expression, JSON schema) builds: rules whose bodies are expressions
// over bytes. compile.h turns them into an automaton.
//
// Expressions are ids into one arena and may be shared; a shared one is built once per use. Sizes are capped:
// whoever goes past a cap gets Error(kResourceExhausted). Private to text/grammar.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hoist::text::grammar {

using ExprId = uint32_t;
using RuleId = uint32_t;
inline constexpr uint32_t kUnbounded = UINT32_MAX;

// A set of code points: sorted ranges with gaps between them, both ends included. Surrogates are never in
// one.
class CodeSet {
 public:
  CodeSet() = default;
  static CodeSet range(uint32_t low, uint32_t high);
  static CodeSet all() { return range(0, 0x10FFFF); }
  void add(uint32_t low, uint32_t high);
  void add(const CodeSet& other);
  CodeSet complement() const;
  CodeSet minus(const CodeSet& other) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<std::pair<uint32_t, uint32_t>>& ranges() const { return ranges_; }

 private:
  std::vector<std::pair<uint32_t, uint32_t>> ranges_;
};

enum class ExprKind : uint8_t {
  kNever,    // matches nothing
  kLiteral,  // `text`; "" matches the empty string
  kBytes,    // one byte from low to high
  kSeq,      // kids, one after another
  kAlt,      // one of kids
  kRepeat,   // kids[0], low to high times (kUnbounded: no end)
  kRule,     // the rule with number low
  kGraph,    // a path of edges from state 0 to state 1, of `low` states
};

struct GraphEdge {
  uint32_t from, to;
  ExprId label;
};

struct Expr {
  ExprKind kind;
  uint32_t low = 0, high = 0;
  std::string text;
  std::vector<ExprId> kids;
  std::vector<GraphEdge> edges;
};

struct Rule {
  std::string name;  // for messages
  ExprId body = 0;
  bool shared = false;  // never copied into its callers: one set of states, and masks, for all uses
};

class RuleSet {
 public:
  static constexpr size_t kMaxExprs = 2'000'000, kMaxRules = 20'000;

  RuleSet();
  ExprId never() const { return 0; }
  ExprId empty() const { return 1; }
  ExprId literal(std::string_view text);
  ExprId bytes(uint8_t low, uint8_t high);
  ExprId seq(std::vector<ExprId> kids);
  ExprId alt(std::vector<ExprId> kids);
  ExprId repeat(ExprId kid, uint32_t low, uint32_t high);
  ExprId optional(ExprId kid) { return repeat(kid, 0, 1); }
  ExprId call(RuleId rule);
  ExprId graph(uint32_t states, std::vector<GraphEdge> edges);

  RuleId add_rule(std::string name, bool shared = false);
  void define(RuleId rule, ExprId body) { rules_[rule].body = body; }

  const Expr& expr(ExprId id) const { return exprs_[id]; }
  const Rule& rule(RuleId id) const { return rules_[id]; }
  size_t rule_count() const { return rules_.size(); }
  size_t expr_count() const { return exprs_.size(); }

 private:
  ExprId add(Expr expr);
  std::vector<Expr> exprs_;
  std::vector<Rule> rules_;
};

// One character of `set` in UTF-8.
ExprId utf8_char(RuleSet& rules, const CodeSet& set);
// One character of `set` as it stands inside a JSON string: in UTF-8, or by its one escape where JSON asks
// for one (\" \\ \n ... \u001f). Every text has exactly one spelling.
ExprId json_char(RuleSet& rules, const CodeSet& set);

}  // namespace hoist::text::grammar
