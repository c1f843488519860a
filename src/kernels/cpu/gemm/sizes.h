// Sizes shared by the sources of this folder: what a product takes of its workspace, and how it is cut.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/gemm.h"

namespace hoist::kernels::cpu {

// Sizes that hold for every instruction set: a sliver's slack is 16 words for at least 3 rows.
constexpr int64_t kBlockColumns = 288;  // columns of b packed at once: with kKBlock, half of a 1 MiB cache
constexpr int64_t kRowGroup = 48;       // a whole number of slivers on every instruction set

inline int64_t row_bytes(int64_t k) { return (k + 2) * 4 + 24; }

// Rows of a packed at once for all workers: up to 16 MiB of them.
inline int64_t shared_rows(int64_t m, int64_t k) {
  int64_t most = std::clamp<int64_t>((int64_t{16} << 20) / row_bytes(k) / kRowGroup, 1, 2048 / kRowGroup);
  return std::min((m + kRowGroup - 1) / kRowGroup, most) * kRowGroup;
}

// One worker's own scratch, in bytes, for sizes m, n, k.
struct WorkerSpace {
  int64_t columns;        // of a block
  int64_t a, b, partial;  // rows of a small product; a k block of columns of b; sums of earlier k blocks
  int64_t bytes() const { return a + b + partial; }
};
inline WorkerSpace worker_space(int64_t m, int64_t n, int64_t k) {
  WorkerSpace s;
  s.columns = std::min(kBlockColumns, (n + kRowGroup - 1) / kRowGroup * kRowGroup);
  const int64_t rows = shared_rows(m, k), whole = align64(rows * row_bytes(k) + 64);
  s.a = rows >= m && whole <= (1 << 19) ? whole : 0;
  s.b = align64(s.columns * (kKBlock + 5) * 4);
  s.partial = k > kKBlock ? align64(rows * s.columns * 4) : 0;
  return s;
}

inline void flip(Gemm& g) {
  std::swap(g.m, g.n);
  std::swap(g.a, g.b);
  std::swap(g.a_type, g.b_type);
  for (AxisGroup* x : {&g.batch, &g.m, &g.n, &g.k})
    for (int i = 0; i < x->count; ++i) std::swap(x->stride[i][AxisGroup::kA], x->stride[i][AxisGroup::kB]);
}

// Elements of tile computed, and a penalty for a result that is written element by element.
inline double cost(int64_t m, int64_t n, int64_t k, bool contiguous) {
  double rows = static_cast<double>(m), columns = static_cast<double>((n + kPanel - 1) / kPanel * kPanel);
  return rows * columns * (static_cast<double>(k) + (contiguous ? 0 : 64));
}

inline void advance(Gemm& g, int64_t batch) {
  g.a += g.batch.offset(AxisGroup::kA, batch) * dtype_size(g.a_type);
  g.b += g.batch.offset(AxisGroup::kB, batch) * dtype_size(g.b_type);
  g.c += g.batch.offset(AxisGroup::kC, batch) * dtype_size(g.c_type);
}

// Several batch entries of at most kFewRows rows each take turns here; everything else is a product.
constexpr int64_t kFewRows = 4;

}  // namespace hoist::kernels::cpu
