// The compiled form of a grammar: one deterministic automaton over bytes per rule, joined by calls.
//
// A state may read a byte (at most one next state per byte), call a rule (and go on at `back` when the rule
// has ended), or end its rule if it accepts. Without calls it is a plain DFA; with them a pushdown automaton
// whose only choices are among a state's byte, its calls and its end. Every state can reach the end of its
// rule, every rule is free of left recursion. State 0 is dead. Private to text/grammar; immutable once built.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "text/grammar/expr.h"

namespace hoist::text::grammar {

using State = uint16_t;

struct Call {
  State start;  // of the callee
  State back;   // in the caller, when the callee has ended
};

struct Automaton {
  static constexpr size_t kMaxStates = 65535;

  std::array<uint8_t, 256> byte_class{};
  uint32_t classes = 1;
  std::vector<State> next;           // [state][class]; 0: no such byte
  std::vector<uint32_t> call_begin;  // calls of state s: calls[call_begin[s] .. call_begin[s + 1])
  std::vector<Call> calls;
  std::vector<uint8_t> accepts;    // the rule may end here
  std::vector<uint8_t> reads;      // has a byte transition
  std::vector<uint8_t> simple;     // neither calls nor accepts
  std::vector<int16_t> only_byte;  // the one byte it reads, -1 if none, -2 if several
  State root = 0;

  size_t states() const { return accepts.size(); }
  State step(State s, uint8_t byte) const { return next[size_t{s} * classes + byte_class[byte]]; }
  // Nothing can follow in this rule: a call that comes back here need not be remembered.
  bool is_end(State s) const { return accepts[s] && !reads[s] && call_begin[s] == call_begin[s + 1]; }
};

// Compiles what `root` needs. Errors: kInvalidArgument for left recursion and for a grammar that matches
// nothing, kResourceExhausted past the caps (65,535 states, a million states before they are made
// deterministic).
Automaton compile(const RuleSet& rules, ExprId root);

// Texts that match both, or the first and not the second. Neither may call rules that call themselves.
// `what` names the place in errors. At most 20,000 states.
enum class RegularOp { kBoth, kFirstOnly };
ExprId combine(RuleSet& rules, ExprId first, ExprId second, RegularOp op, const std::string& what);

}  // namespace hoist::text::grammar
