// GEMM with block-quantized weights: c[m, n] = sum over k of a[m, k] * w[n, k], w in panels of 16 rows.
//
// Activations are quantized on the fly: each row in groups of kGroup consecutive k to 8 bits, scale = largest
// magnitude / 127, rounded to nearest even. A group with a NaN or an infinity makes its row's results NaN.
// Within a block, products are summed exactly in integers; blocks are scaled and added in f32 in the order of
// k, first within a group, then over the groups. So an element's bits depend on its row of a and its row of w
// only, on every path.
//
// kI8 is simpler: bytes with one f32 scale per row of w, and one scale per row of a; all of k is summed in
// integers (k at most 65536) and scaled once.
//
// A panel holds the bytes of 16 rows of a published format (quant/codec.h), regrouped so that a vector finds
// the same bytes of 16 rows side by side; sizes stay the same but for padding to 64 bytes and to 16 rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/cpu/gemm/gemm.h"

namespace hoist::kernels::cpu {

constexpr int64_t kGroup = 256;  // k that share an activation scale

enum class BlockFormat : uint8_t { kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K, kI8 };

struct BlockGemm {
  AxisGroup m, k;  // strides of a, and of c for m
  int64_t n = 0;   // columns of c are contiguous
  const std::byte* a = nullptr;
  const std::byte* panels = nullptr;
  std::byte* c = nullptr;
  DType a_type = DType::f32, c_type = DType::f32;
  BlockFormat format = BlockFormat::kQ8_0;
  const Epilogue* epilogue = nullptr;  // null: none
};

constexpr int64_t kLongestI8 = 65536;
int64_t block_gemm_workspace(int64_t m, int64_t k);

// block_gemm is two halves, also offered one by one to callers that share out several products at once: first
// all items of quantizing (single rows, or several that lie together), then the panels, 16 columns each. Both
// halves of a product get the same workspace, and may be cut in any way.
int64_t quantize_items(const BlockGemm& g);

#define HOIST_BLOCK_GEMM                                                                       \
  void block_gemm(const BlockGemm& g, std::byte* workspace, ThreadPool& pool);                 \
  void quantize_rows(const BlockGemm& g, int64_t begin, int64_t end, std::byte* workspace);    \
  void multiply_panels(const BlockGemm& g, int64_t begin, int64_t end, std::byte* workspace);  \
  /* what these do for kI8 */                                                                  \
  void i8_quantize_rows(const BlockGemm& g, int64_t begin, int64_t end, std::byte* workspace); \
  void i8_multiply_panels(const BlockGemm& g, int64_t begin, int64_t end, std::byte* workspace);
namespace portable {
HOIST_BLOCK_GEMM
}
namespace avx2 {
HOIST_BLOCK_GEMM
}
namespace avx512dot {
HOIST_BLOCK_GEMM
}
#undef HOIST_BLOCK_GEMM

}  // namespace hoist::kernels::cpu
