// Thompson's construction: expressions to a nondeterministic automaton. Private to compile.cc.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/grammar/expr.h"

namespace hoist::text::grammar {

struct NfaEdge {
  enum Kind : uint8_t { kEmpty, kByte, kCall };
  uint32_t from, to;
  Kind kind;
  uint8_t low, high;
  uint32_t rule;  // index into Nfa::rules
};

struct NfaRule {
  std::string name;
  uint32_t start, end;
};

struct Nfa {
  static constexpr size_t kMaxEdges = 4'000'000, kMaxStates = 1'000'000;
  uint32_t states = 0;
  std::vector<NfaEdge> edges;   // sorted by `from` when done
  std::vector<uint32_t> begin;  // edges of s: edges[begin[s] .. begin[s + 1])
  std::vector<NfaRule> rules;   // [0] is the root
};

// Rules reached from `root`. Small rules that do not lead back to themselves are copied into their callers,
// unless they are shared.
Nfa build_nfa(const RuleSet& rules, ExprId root);

}  // namespace hoist::text::grammar
