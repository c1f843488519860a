// Sizes shared by the sources of this folder: what a product takes of its workspace, and how it is cut.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/gemm/schedule.h"

namespace hoist::kernels::cpu {

// Sizes that hold for every instruction set: a sliver's slack is 16 words for at least 3 rows.
constexpr int64_t kRowGroup = 48;  // a whole number of slivers on every instruction set

inline int64_t row_bytes(int64_t k) { return (k + 2) * 4 + 24; }

constexpr GemmSchedule kDefaultSchedule{};
inline const GemmSchedule& schedule_of(const Gemm& g) { return g.schedule ? *g.schedule : kDefaultSchedule; }

// Rows of a packed at once for all workers: up to 16 MiB of them.
constexpr int64_t kSharedBytes = int64_t{16} << 20;
inline int64_t shared_rows(int64_t m, int64_t k, const GemmSchedule& s) {
  int64_t most = std::clamp<int64_t>(kSharedBytes / row_bytes(k) / kRowGroup, 1, 2048 / kRowGroup);
  if (s.rows) most = std::clamp<int64_t>(s.rows / kRowGroup, 1, most);
  return std::min((m + kRowGroup - 1) / kRowGroup, most) * kRowGroup;
}

// One worker's own scratch, in bytes, for sizes m, n, k.
struct WorkerSpace {
  int64_t columns;        // of a block
  int64_t a, b, partial;  // rows of a small product; a k block of columns of b; sums of earlier k blocks
  int64_t bytes() const { return a + b + partial; }
};
constexpr int64_t kSmallA = 1 << 19;
inline WorkerSpace worker_space(int64_t m, int64_t n, int64_t k, const GemmSchedule& schedule) {
  WorkerSpace s;
  s.columns = std::min<int64_t>(schedule.columns ? schedule.columns : default_columns(),
                                (n + kRowGroup - 1) / kRowGroup * kRowGroup);
  const int64_t rows = shared_rows(m, k, schedule), whole = align64(rows * row_bytes(k) + 64);
  s.a = rows >= m && whole <= kSmallA ? whole : 0;
  s.b = align64(s.columns * (kKBlock + 5) * 4);
  s.partial = k > kKBlock ? align64(rows * s.columns * 4) : 0;
  return s;
}
// Scratch of a worker for all products up to these sizes: fewer rows may want `a` where more do not.
inline int64_t most_worker_bytes(int64_t m, int64_t n, int64_t k, const GemmSchedule& schedule) {
  WorkerSpace s = worker_space(m, n, k, schedule);
  s.a = std::min(align64(shared_rows(m, k, schedule) * row_bytes(k) + 64), kSmallA);
  return s.bytes();
}

// How a product is shared out: blocks of whole tiles of columns, as even as they come, and each block of
// packed rows in pieces.
struct GemmCut {
  int64_t rows;    // packed at once
  int64_t n_step;  // columns of the widest block
  int64_t blocks;  // of columns
  int64_t pieces;  // of the rows packed at once, where they are enough
};
inline GemmCut cut_product(int64_t m, int64_t n, int64_t k, int64_t threads, int64_t tile_columns,
                           bool panels, const GemmSchedule& s) {
  using Split = GemmSchedule::Split;
  const int64_t columns = worker_space(m, n, k, s).columns, tiles = (n + tile_columns - 1) / tile_columns;
  const double whole = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k + 1);
  // Many rows are shared out evenly, since a tile of columns too many would make one worker wait for another.
  const bool many_rows = threads > 1 && m >= (panels ? 64 : 128) * threads;
  const Split split = s.split != Split::kAuto ? s.split : many_rows ? Split::kRows : Split::kColumns;
  GemmCut c;
  c.rows = shared_rows(m, k, s);
  c.blocks = (n + columns - 1) / columns;
  const bool many = threads > 1 && whole > 65536;
  if (many && split != Split::kRows) c.blocks = (c.blocks + threads - 1) / threads * threads;
  c.blocks = std::min(c.blocks, tiles);
  c.n_step = (tiles + c.blocks - 1) / c.blocks * tile_columns;
  // Rows are cut too where there are too few columns for the threads.
  c.pieces = c.blocks < threads ? (threads + c.blocks - 1) / c.blocks : 1;
  if (many && split == Split::kRows) c.pieces = std::max(c.pieces, threads);
  if (many && split == Split::kGrid) c.pieces = std::max<int64_t>(c.pieces, 2);
  return c;
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
