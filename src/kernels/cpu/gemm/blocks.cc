// Products with block-quantized weights (blocks.h): quantizing rows, and how the tiles are shared out.
#include "kernels/cpu/gemm/blocks.h"

#include <algorithm>

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/block_tiles.h"
#include "kernels/cpu/gemm/epilogue.h"
#include "kernels/cpu/gemm/panels.h"
#include "kernels/cpu/gemm/schedule.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA  // once, for the plain target
namespace hoist::kernels::cpu {
namespace {

constexpr int64_t kRows = 8;  // rows of a in a sliver

struct SliverSpace {
  int64_t words, sums, scales;  // entries per row
  explicit SliverSpace(int64_t k)
      : words((k + 3) / 4), sums((k + kSumsOver - 1) / kSumsOver), scales((k + kGroup - 1) / kGroup) {}
  int64_t entries() const { return (words + sums + scales) * kRows + 16; }
  BlockSliver at(std::byte* workspace, int64_t index, int64_t rows) const {
    int32_t* p = reinterpret_cast<int32_t*>(workspace) + index * entries();
    return {p, p + words * rows, reinterpret_cast<float*>(p + (words + sums) * rows)};
  }
};

// Rows are cut into slivers of 8, and what remains into 4, 2 and 1: there is a tile for each.
struct Slivers {
  int64_t whole, rest, count;
  explicit Slivers(int64_t m)
      : whole(m / kRows), rest(m % kRows), count(whole + (rest >> 2 & 1) + (rest >> 1 & 1) + (rest & 1)) {}
  struct Range {
    int64_t first, rows;
  };
  Range operator[](int64_t index) const {
    if (index < whole) return {index * kRows, kRows};
    int64_t first = whole * kRows, skip = index - whole;
    for (int64_t rows : {4, 2, 1})
      if (rest & rows) {
        if (skip-- == 0) return {first, rows};
        first += rows;
      }
    return {first, 0};
  }
};

// Panels in chunks that stay in the second-level cache while every row passes over them. `together`: panels
// that a tile of i8 takes.
int64_t panels_at_once(const BlockGemm& g, int64_t threads, int64_t together) {
  const int64_t m = g.m.total(), k = g.k.total(), panels = (g.n + kPanel - 1) / kPanel;
  const int64_t cached = second_level_cache() * 7 / 16 / panel_bytes(g.format, k);
  if (g.format == BlockFormat::kI8) {
    const int64_t chunk = std::clamp<int64_t>(cached, 1, (panels + 2 * threads - 1) / (2 * threads));
    return std::max<int64_t>(chunk / together, 1) * together;
  }
  if (m <= kRows) return std::max<int64_t>(1, 262144 / std::max<int64_t>(1, m * k * kPanel));
  return std::clamp<int64_t>(cached, 1, std::max<int64_t>(1, panels / (2 * threads)));
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/gemm/blocks.cc"
#include "kernels/cpu/for_each_isa.h"

#if !HOIST_ISA_IS_AVX512 || HOIST_ISA_IS_AVX512DOT  // AVX-512 without VNNI takes the AVX2 kernels
namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/gemm/rows.inc"

// One row of a, `count` values at x, into lane r of a sliver of `rows`.
void quantize_row(const float* x, int64_t k, int64_t r, int64_t rows, const BlockSliver& s) {
  alignas(64) int8_t q[kGroup];
  for (int64_t g = 0; g * kGroup < k; ++g, x += kGroup) {
    const int64_t n = std::min(kGroup, k - g * kGroup);
    F most = set(0);
    bool finite = true;
    for (int64_t i = 0; i < n; i += W) {
      F v = load_tail(x + i, n - i);
      most = vmax(most, vabs(v));
      finite = finite && sum(v - v) == 0;
    }
    const float largest = maximum(most), scale = largest / 127.0f;
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    const bool usable = finite && inverse <= 3e38f;
    std::fill(std::begin(q), std::end(q), int8_t{0});
    if (usable)
      for (int64_t i = 0; i < n; i += W) store_bytes(q + i, load_tail(x + i, n - i) * set(inverse));
    s.scales[g * rows + r] = finite ? (usable ? scale : 0.0f) : __builtin_nanf("");
    const int64_t words = (n + 3) / 4, sums = (n + kSumsOver - 1) / kSumsOver;
    for (int64_t j = 0; j < words; ++j)
      std::memcpy(&s.words[(g * (kGroup / 4) + j) * rows + r], q + 4 * j, 4);
    for (int64_t j = 0; j < sums; ++j) {
      int32_t total = 0;
      for (int i = 0; i < kSumsOver; ++i) total += q[j * kSumsOver + i];
      s.sums[(g * (kGroup / kSumsOver) + j) * rows + r] = total;
    }
  }
}

}  // namespace

void quantize_rows(const BlockGemm& g, int64_t begin, int64_t end, std::byte* workspace) {
  if (g.format == BlockFormat::kI8) return i8_quantize_rows(g, begin, end, workspace);
  const int64_t k = g.k.total();
  const SliverSpace space(k);
  const Slivers slivers(g.m.total());
  alignas(64) float row[kGroup + 16];
  for (int64_t index = begin; index < end; ++index) {
    const auto [first, rows] = slivers[index];
    const BlockSliver s = space.at(workspace, index, rows);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t base = g.m.offset(AxisGroup::kA, first + r);
      for (int64_t k0 = 0; k0 < k; k0 += kGroup) {  // a group at a time, whatever lies under it
        const int64_t count = std::min(kGroup, k - k0);
        read_row(g.a_type, g.a, base, g.k, k0, count, row);
        const int64_t group = k0 / kGroup;
        quantize_row(row, count, r, rows,
                     {s.words + group * (kGroup / 4) * rows, s.sums + group * (kGroup / kSumsOver) * rows,
                      s.scales + group * rows});
      }
    }
  }
}

void multiply_panels(const BlockGemm& g, int64_t begin, int64_t end, std::byte* workspace) {
  if (g.format == BlockFormat::kI8) return i8_multiply_panels(g, begin, end, workspace);
  const int64_t k = g.k.total(), panel_size = panel_bytes(g.format, k);
  const SliverSpace space(k);
  const Slivers slivers(g.m.total());
  const bool super = block_size(g.format) == 256;
  alignas(64) float out[kRows][kPanel];
  for (int64_t s = 0; s < slivers.count; ++s) {
    const auto [first, rows] = slivers[s];
    const BlockSliver a = space.at(workspace, s, rows);
    const BlockTile tile = super ? block_tile_256(g.format, rows) : block_tile_32(g.format, rows);
    int64_t offset[kRows];
    g.m.offsets(AxisGroup::kC, first, rows, offset);
    for (int64_t p = begin; p < end; ++p) {
      tile(g.panels + p * panel_size, k, a, out);
      const int64_t columns = std::min(kPanel, g.n - p * kPanel);
      if (g.epilogue) finish(*g.epilogue, {out[0], rows, kPanel, p * kPanel, columns, offset, g.c_type});
      for (int64_t r = 0; r < rows; ++r) write_values(g.c_type, g.c, offset[r] + p * kPanel, columns, out[r]);
    }
  }
}

void block_gemm(const BlockGemm& g, std::byte* workspace, ThreadPool& pool) {
  const int64_t m = g.m.total(), n = g.n, k = g.k.total();
  if (m == 0 || n == 0) return;
  pool.parallel_for(quantize_items(g), std::max<int64_t>(1, 4096 / (k + 1)),
                    [&](int64_t begin, int64_t end, int) { quantize_rows(g, begin, end, workspace); });
  const int64_t panels = (n + kPanel - 1) / kPanel,
                chunk = panels_at_once(g, pool.threads(), HOIST_ISA_IS_AVX512 ? 3 : 1);
  pool.parallel_for((panels + chunk - 1) / chunk, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t c = begin; c < end; ++c)
      multiply_panels(g, c * chunk, std::min(panels, (c + 1) * chunk), workspace);
  });
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
#endif

#if HOIST_ISA_LAST
namespace hoist::kernels::cpu {

int64_t quantize_items(const BlockGemm& g) {
  return g.format == BlockFormat::kI8 ? g.m.total() : Slivers(g.m.total()).count;
}

int64_t block_gemm_workspace(int64_t m, int64_t k) {
  return (m / kRows + 3) * (SliverSpace(k).entries() + 64) * 4 + 64;
}

}  // namespace hoist::kernels::cpu
#endif
