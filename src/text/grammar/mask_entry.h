// What a state decides about the next token, whatever stack it stands on. Private to text/grammar.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
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

// The entry of a state, or of one alike (alike.h) whose costs are lower by `shift`.
struct KeptMask {
  std::shared_ptr<const MaskEntry> entry;
  int64_t shift = 0;

  // Sets the tokens that cost at most `most`.
  void apply(uint32_t most, uint64_t* out) const {
    const int64_t left = int64_t{most} - shift;
    if (left >= 0) entry->apply(static_cast<uint32_t>(std::min<int64_t>(left, kCannot - 1)), out);
  }
};

// An entry that holds for tokens of at most `depth` bytes, with costs that are lower by `shift`.
struct PartialMask {
  const MaskEntry* entry = nullptr;
  uint32_t depth = 0;
  int64_t shift = 0;
};

// Walks the vocabulary from `state`; where `known` has an entry, only for the tokens longer than its depth.
MaskEntry make_entry(State state, const TokenTable& table, Stacks& stacks, const PartialMask& known = {});

}  // namespace hoist::text::grammar
