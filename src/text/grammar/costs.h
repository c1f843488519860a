// What it takes to finish: for each state, tokens that suffice to end its rule, and how many frames deep that
// goes. Private to text/grammar.
#pragma once

#include <cstdint>
#include <vector>

#include "text/grammar/automaton.h"
#include "text/grammar/token_table.h"

namespace hoist::text::grammar {

inline constexpr uint32_t kCannot = UINT32_MAX;  // the vocabulary cannot write an end

inline uint32_t add_costs(uint32_t a, uint32_t b) {
  return a > kCannot - 1 - b || b == kCannot ? kCannot : a + b;
}

struct Costs {
  std::vector<uint32_t> tokens;  // by state; 0 for state 0, the end itself
  std::vector<uint16_t> depth;   // frames that the same way pushes above the state's own, at most
  uint16_t max_depth = 0;        // the largest of them
};

// Shortest paths over single bytes (Knuth's generalisation of Dijkstra's algorithm to grammars), then
// shortened by the longer tokens that lie along them. States that no single bytes can finish are retried with
// all tokens.
Costs find_costs(const Automaton& a, const TokenTable& table);

}  // namespace hoist::text::grammar
