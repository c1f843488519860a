// Constrained generation: a grammar says which texts a model may write, and so which tokens may come next.
//
// DESIGN
//
// All front ends - EBNF, regular expressions, JSON schemas - build the same rules over bytes (expr.h).
// Characters are spelled out in UTF-8, so a token that ends in the middle of one needs no special case. Each
// rule becomes a deterministic automaton over bytes, joined to others by calls (automaton.h); small rules are
// copied into their callers first, so what is regular mostly runs as a plain DFA, and what is shared (a JSON
// string) is one set of states wherever it is used.
//
// While a text grows, its state is the set of stacks the automaton may be in (stacks.h): usually one. A stack
// is a state and a frame; frames are interned, so equal stacks are equal numbers and the set cannot grow by
// meeting itself. Taking tokens back restores an earlier set.
//
// The tokens allowed in a state are found by walking the vocabulary's trie (token_table.h) and stepping the
// stacks, a failed byte cutting off all tokens behind it. Nearly all of that depends on the innermost state
// alone: it is done once per state and kept (constraint.h) within a memory limit. What remains are the tokens
// that leave the innermost rule (a string's closing quote and what follows it): the kept result lists where
// in the trie the rule ends, and only those places are walked with the stack at hand.
//
// Every state also has a cost: the tokens of this vocabulary that suffice to end its rule. A frame adds up
// the costs below it, so the cost of any stack is known at once, and with every kept token is kept what it
// would cost afterwards. With n tokens left, only tokens that leave a cost of at most n - 1 are allowed: the
// text is always whole by the cap. Costs are upper bounds that a path of real tokens reaches; whatever has a
// finite cost can be finished, and nothing else is ever allowed, so no generation ends in a dead end.
//
// Compile Grammar and Constraint once per grammar and vocabulary; both are immutable for their users and any
// number of threads may share them. A Matcher is one generation and belongs to one thread at a time.
//
// The ideas are common to the field: persistent stacks and masks kept per state (XGrammar, arXiv:2411.15100),
// trie walks over a byte automaton (llguidance), index per automaton state (Outlines, arXiv:2307.09702).
//
// EBNF, as llama.cpp writes it: rules `name ::= alternatives`, starting at `root`; "text", [a-z] and [^a-z],
// `.` for any character, names, ( ), | , and * + ? {m} {m,} {m,n} after an item; # starts a comment. Line
// ends mean nothing. Left recursion is refused.
//
// Regular expressions match the whole text: literals, classes, \d \w \s (ASCII; the negated forms leave out
// all Unicode spaces) and their negations, ., groups, |, * + ? {m,n} and their lazy forms, ^ and $ at the
// ends, \xHH \uHHHH \u{H}. What is not regular (backreferences, lookaround) or not read here (\b, \p) is
// refused by name.
//
// JSON schema: see schema.h for the keywords.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text {

namespace grammar {
struct Automaton;
}

struct JsonGrammarOptions {
  // Blanks, tabs and line ends allowed at each place between JSON's marks; 0 writes compact JSON.
  uint32_t max_whitespace = 16;
};

// One or more JSON values between given texts, as tool calls are written:
//   begin, one of `choices`, (separator, one of `choices`)*, end
struct TaggedValues {
  // before, a value of `schema`, after. With `text` the value is a string as it stands, unquoted, which never
  // holds `stop`; of its schema enum, const, pattern, minLength and maxLength are kept.
  struct Field {
    std::string before, schema, after;
    bool required = true, text = false;
  };
  // before, a value of `schema` unless that is empty, the fields in order, after.
  struct Choice {
    std::string before, schema, after;
    std::vector<Field> fields;
  };
  std::string begin, end;
  std::string stop;             // for fields of text: its first byte, ASCII, comes only once in it
  std::vector<Choice> choices;  // at least one
  std::string separator;
  bool several = false;  // false: exactly one
};

class Grammar {
 public:
  // All throw Error: kInvalidArgument for what is malformed, kUnsupported for what we do not do, by name and
  // place, kResourceExhausted past the size caps.
  static Grammar from_ebnf(std::string_view text);
  static Grammar from_regex(std::string_view expression);
  static Grammar from_json_schema(std::string_view schema, const JsonGrammarOptions& options = {});
  static Grammar from_tagged_values(const TaggedValues& values, const JsonGrammarOptions& options = {});
  static Grammar json_object(const JsonGrammarOptions& options = {});  // any JSON object

  size_t states() const;
  const grammar::Automaton& automaton() const { return *automaton_; }

 private:
  explicit Grammar(std::shared_ptr<const grammar::Automaton> automaton);
  friend class Constraint;
  std::shared_ptr<const grammar::Automaton> automaton_;
};

}  // namespace hoist::text
