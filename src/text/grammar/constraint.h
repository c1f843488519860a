// A grammar compiled against a vocabulary: costs, and the tokens allowed in each state as they become known.
//
// Shared by any number of generations and threads. See grammar.h for the design.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "text/grammar/grammar.h"
#include "text/grammar/token_table.h"

namespace hoist::text {

namespace grammar {
struct MaskEntry;
struct KeptMask;
class Stacks;
struct Costs;
struct StackNode;
}  // namespace grammar

struct ConstraintOptions {
  uint16_t max_depth = 128;               // nested rules: objects and arrays, mostly
  size_t cache_bytes = size_t{64} << 20;  // for kept masks; the oldest go first
};

class Constraint {
 public:
  // Throws Error(kUnsupported) if the vocabulary can write no text of the grammar within the depth.
  Constraint(Grammar grammar, std::shared_ptr<const TokenTable> tokens,
             const ConstraintOptions& options = {});
  ~Constraint();
  Constraint(const Constraint&) = delete;
  Constraint& operator=(const Constraint&) = delete;

  const TokenTable& tokens() const { return *tokens_; }
  const Grammar& grammar() const { return grammar_; }
  const ConstraintOptions& options() const { return options_; }

  // Tokens that suffice for a whole text, not counting an end token. It is the least number along the
  // grammar's shortest text as this vocabulary spells it.
  uint32_t min_tokens() const { return min_tokens_; }
  // Throws Error(kInvalidArgument), naming the least number, if `max_tokens` cannot hold a whole text.
  void check_budget(uint64_t max_tokens) const;

  const grammar::Costs& costs() const { return *costs_; }
  // What the innermost state alone decides; made on first use with `stacks` (left as it was), or taken from a
  // state that decides alike.
  grammar::KeptMask entry(uint16_t state, grammar::Stacks& stacks) const;
  size_t cached_bytes() const;

 private:
  struct Cache;
  Grammar grammar_;
  std::shared_ptr<const TokenTable> tokens_;
  ConstraintOptions options_;
  std::unique_ptr<grammar::Costs> costs_;
  std::unique_ptr<Cache> cache_;
  uint32_t min_tokens_ = 0;
};

}  // namespace hoist::text
