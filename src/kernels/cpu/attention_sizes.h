// Sizes that attention kernels of every instruction set share, and the bytes of one worker's AttentionScratch
// (attention_tile.inc).
#pragma once

#include <algorithm>
#include <cstdint>

namespace hoist::kernels::cpu {

constexpr int kKeyBlock = 64;     // keys of one step of the online softmax
constexpr int kTileRows = 96;     // rows (queries) of one tile: a multiple of every kMr
constexpr int64_t kZeroRows = 8;  // heads of one row of zeros, which stands for keys that are not there
constexpr int64_t kSplit = 512;   // keys of one part of paged attention; parts are merged in order

// Widths are padded to whole panels of 32 columns.
inline int64_t wide_columns(int64_t n) { return (n + 31) / 32 * 32; }

inline int64_t attention_scratch_bytes(int64_t d, int64_t dv) {
  const int64_t columns = wide_columns(dv), depth = wide_columns(d);
  const int64_t floats = kTileRows * depth + 2 * kKeyBlock * depth + kKeyBlock * columns + 32 * kKeyBlock +
                         2 * kTileRows * columns + kTileRows * 20 + kZeroRows * std::max(d, dv) + 2 * depth;
  return 4 * (floats + 14 * 96);
}

}  // namespace hoist::kernels::cpu
