// TokenFilter: which tokens a sequence may take next - those its grammar allows, without the ends of a text
// while min_tokens are not reached.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "decode/guide.h"

namespace hoist::decode {

class TokenFilter {
 public:
  // A bit a token, valid until the next call; empty: all `vocab` tokens may come. `banned`: tokens that may
  // come only where nothing else can. `left`: see Guide::mask. `guide` may be null. Throws as Guide::mask
  // does.
  std::span<const uint64_t> allowed(Guide* guide, uint64_t left, std::span<const int32_t> banned,
                                    int64_t vocab);

 private:
  std::vector<uint64_t> bits_, without_;  // kept between calls
};

}  // namespace hoist::decode
