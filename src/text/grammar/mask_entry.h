// What a state decides about the next token, whatever stack it stands on. Private to text/grammar.
#pragma once

#include <cstdint>
#include <vector>

#include "text/grammar/stacks.h"

namespace hoist::text::grammar {

struct PricedToken {
  uint32_t cost;  // from after the token to the end of the state's own rule
  int32_t token;
};

struct MaskEntry {
  std::vector<uint64_t> bits;       // tokens allowed, if dense; else empty and `priced` has them all
  uint32_t usual_cost = 0;          // of the tokens in `bits` that `priced` does not list
  std::vector<PricedToken> priced;  // by rising cost
  std::vector<uint32_t> ends;       // trie nodes at which the rule may end
  uint32_t reach = 0;               // frames above the state's own that all this may push

  size_t bytes() const {
    return sizeof(*this) + bits.size() * 8 + priced.size() * sizeof(PricedToken) + ends.size() * 4;
  }
  // Sets the tokens that cost at most `most`.
  void apply(uint32_t most, uint64_t* out) const;
};

MaskEntry make_entry(State state, const TokenTable& table, Stacks& stacks);

}  // namespace hoist::text::grammar
