// Tiles of the block formats that hold 256 weights a block.
#include <utility>

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/block_tiles.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/gemm/block_tiles_256.cc"
#include "kernels/cpu/for_each_isa.h"

#if !HOIST_ISA_IS_AVX512 || HOIST_ISA_IS_AVX512DOT  // AVX-512 without VNNI takes the AVX2 kernels
namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

constexpr int kV = static_cast<int>(kPanel) / W;

#include "kernels/cpu/gemm/block_codecs.inc"

#include "kernels/cpu/gemm/block_tile.inc"

}  // namespace

BlockTile block_tile_256(BlockFormat format, int64_t rows) {
  switch (format) {
    case BlockFormat::kQ4_K: return tile_for<Q4_K>(rows);
    case BlockFormat::kQ5_K: return tile_for<Q5_K>(rows);
    default: return tile_for<Q6_K>(rows);
  }
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
#endif
