// Bytes of one worker's AttentionScratch (attention_tile.inc), enough for every instruction set.
#pragma once

#include <algorithm>
#include <cstdint>

namespace hoist::kernels::cpu {

inline int64_t attention_scratch_bytes(int64_t d, int64_t dv) {
  const int64_t wide = (dv + 31) / 32 * 32;
  return 4 *
         (96 * d + 64 * d + 64 * wide + 2 * 96 * 64 + 96 * wide + 64 * dv + std::max(d, dv) + 8 * 80 + 64);
}

}  // namespace hoist::kernels::cpu
