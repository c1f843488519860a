// Products with 8-bit weights, one scale per row of each operand (blocks.h, kI8).
#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/blocks.h"
#include "kernels/cpu/gemm/epilogue.h"
#include "kernels/cpu/gemm/panels.h"
#include "kernels/cpu/gemm/schedule.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA  // once, for the plain target
namespace hoist::kernels::cpu {
namespace {
constexpr int64_t kSliverRows = 8;

// A sliver: words [k / 4][8], then 8 sums of the row's bytes times 128, then 8 scales.
int64_t sliver_bytes(int64_t k) { return align64((k / 4 * kSliverRows + 2 * kSliverRows) * 4); }
}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/gemm/i8.cc"
#include "kernels/cpu/for_each_isa.h"

#if !HOIST_ISA_IS_AVX512 || HOIST_ISA_IS_AVX512DOT
namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

constexpr int kV = static_cast<int>(kPanel) / W;
constexpr int kTilePanels = HOIST_ISA_IS_AVX512 ? 3 : 1;
constexpr int kTileRows = HOIST_ISA_IS_AVX512 ? 8 : 4;  // of a sliver at once

#include "kernels/cpu/gemm/rows.inc"

// R rows of a sliver from `first` on, against P panels: out[r][0 .. 16 P).
template <int R, int P>
void i8_tile(const std::byte* sliver, int64_t first, const std::byte* panel, int64_t panel_size, int64_t k,
             float (*out)[3 * kPanel]) {
  using B = Bytes<255>;
  const int32_t* a = reinterpret_cast<const int32_t*>(sliver) + first;
  I acc[R][P * kV];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < P * kV; ++v) acc[r][v] = seti(0);
  const std::byte* w = panel + 64;
#pragma GCC unroll 1
  for (int64_t j = 0; j < k; j += 4, a += kSliverRows, w += 64) {
    B b[P * kV];
#pragma GCC unroll 16
    for (int v = 0; v < P * kV; ++v)
      b[v] = B(loadi(reinterpret_cast<const int32_t*>(w + v / kV * panel_size) + v % kV * W));
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < P * kV; ++v) acc[r][v] = b[v].dot(seti(a[r]), acc[r][v]);
  }
  const int32_t* sums = reinterpret_cast<const int32_t*>(sliver) + k / 4 * kSliverRows + first;
  const float* scales = reinterpret_cast<const float*>(sums + kSliverRows);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < P * kV; ++v) {
      F scale = load(reinterpret_cast<const float*>(panel + v / kV * panel_size) + v % kV * W);
      store(out[r] + v * W,
            from_int(B::kCentred ? acc[r][v] : acc[r][v] - seti(sums[r])) * (scale * set(scales[r])));
    }
}

using TileFn = void (*)(const std::byte*, int64_t, const std::byte*, int64_t, int64_t, float (*)[3 * kPanel]);
template <int P, int... R>
TileFn pick(int64_t rows, std::integer_sequence<int, R...>) {
  static constexpr TileFn table[] = {i8_tile<R + 1, P>...};
  return table[rows - 1];
}
TileFn tile_for(int64_t rows, int64_t panels) {
  constexpr auto kRows = std::make_integer_sequence<int, kTileRows>();
#if HOIST_ISA_IS_AVX512
  if (panels == 3) return pick<3>(rows, kRows);
  if (panels == 2) return pick<2>(rows, kRows);
#endif
  (void)panels;
  return pick<1>(rows, kRows);
}

// One row of a: 127 levels each side of zero. A row with a NaN or an infinity becomes NaN.
void quantize_row(const BlockGemm& g, int64_t base, int64_t k, int64_t r, std::byte* sliver) {
  alignas(64) float values[256];
  alignas(64) int8_t bytes[256 + 16];
  auto piece = [&](int64_t at, int64_t n) { read_row(g.a_type, g.a, base, g.k, at, n, values); };
  F most = set(0), odd = set(0);
  for (int64_t at = 0; at < k; at += 256) {
    const int64_t n = std::min<int64_t>(256, k - at);
    piece(at, n);
    for (int64_t j = 0; j < n; j += W) {
      F v = load_tail(values + j, n - j);
      most = vmax(most, vabs(v));
      odd = odd + (v - v);
    }
  }
  const bool finite = sum(odd) == 0;
  const float largest = maximum(most), inverse = largest > 0 ? 127.0f / largest : 0.0f;
  const bool usable = finite && inverse <= 3e38f;
  int32_t* words = reinterpret_cast<int32_t*>(sliver);
  int32_t total = 0;
  for (int64_t at = 0; at < k; at += 256) {
    const int64_t n = std::min<int64_t>(256, k - at);
    piece(at, n);
    for (int64_t j = 0; j < n; j += W)
      store_bytes(bytes + j, usable ? load_tail(values + j, n - j) * set(inverse) : set(0));
    for (int64_t j = 0; j < n; ++j) total += bytes[j];
    for (int64_t j = 0; j < n; j += 4) std::memcpy(words + (at + j) / 4 * kSliverRows + r, bytes + j, 4);
  }
  words[k / 4 * kSliverRows + r] = total * 128;
  float scale = finite ? (usable ? largest / 127.0f : 0.0f) : __builtin_nanf("");
  std::memcpy(words + k / 4 * kSliverRows + kSliverRows + r, &scale, 4);
}

}  // namespace

void i8_quantize_rows(const BlockGemm& g, int64_t begin, int64_t end, std::byte* workspace) {
  const int64_t k = g.k.total(), size = sliver_bytes(k);
  for (int64_t i = begin; i < end; ++i)
    quantize_row(g, g.m.offset(AxisGroup::kA, i), k, i % kSliverRows, workspace + i / kSliverRows * size);
}

void i8_multiply_panels(const BlockGemm& g, int64_t begin, int64_t end, std::byte* workspace) {
  const int64_t m = g.m.total(), k = g.k.total(), size = sliver_bytes(k),
                panel_size = panel_bytes(g.format, k);
  alignas(64) float out[kTileRows][3 * kPanel];
  for (int64_t row = 0; row < m; row += kTileRows) {
    const int64_t rows = std::min<int64_t>(kTileRows, m - row);
    int64_t offset[kTileRows];
    g.m.offsets(AxisGroup::kC, row, rows, offset);
    for (int64_t p = begin; p < end; p += kTilePanels) {
      const int64_t count = std::min<int64_t>(kTilePanels, end - p);
      tile_for(rows, count)(workspace + row / kSliverRows * size, row % kSliverRows,
                            g.panels + p * panel_size, panel_size, k, out);
      const int64_t columns = std::min(count * kPanel, g.n - p * kPanel);
      if (g.epilogue) finish(*g.epilogue, {out[0], rows, 3 * kPanel, p * kPanel, columns, offset, g.c_type});
      for (int64_t r = 0; r < rows; ++r) write_values(g.c_type, g.c, offset[r] + p * kPanel, columns, out[r]);
    }
  }
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
#endif
