// The tiles of blocks.h: a few quantized rows against one panel of weights over all of k.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/gemm/blocks.h"

namespace hoist::kernels::cpu {

constexpr int64_t kSumsOver = 16;  // k of a row that are summed together

// One sliver of quantized rows, each part [..][rows]: words of four k; sums over every kSumsOver k; scales of
// groups.
struct BlockSliver {
  int32_t* words;
  int32_t* sums;
  float* scales;
};

// out[r][0 .. kPanel) of every row of the sliver.
using BlockTile = void (*)(const std::byte* panel, int64_t k, const BlockSliver& a, float (*out)[kPanel]);

// For 1, 2, 4 or 8 rows; formats whose blocks hold 32 weights, and those of 256.
namespace portable {
BlockTile block_tile_32(BlockFormat format, int64_t rows);
BlockTile block_tile_256(BlockFormat format, int64_t rows);
}  // namespace portable
namespace avx2 {
BlockTile block_tile_32(BlockFormat format, int64_t rows);
BlockTile block_tile_256(BlockFormat format, int64_t rows);
}  // namespace avx2
namespace avx512dot {
BlockTile block_tile_32(BlockFormat format, int64_t rows);
BlockTile block_tile_256(BlockFormat format, int64_t rows);
}  // namespace avx512dot

}  // namespace hoist::kernels::cpu
