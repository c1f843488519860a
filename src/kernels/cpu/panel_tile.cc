#include "kernels/cpu/panel_tile.h"

#include <utility>

#include "base/check.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/panel_tile.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

template <int R, PanelRows kKind>
void tile(const PanelTile& t) {
  constexpr bool kTwo = kKind == PanelRows::kTwoRuns || kKind == PanelRows::kApartTwoRuns;
  constexpr int kRun = kTwo ? R / 2 : R;
  constexpr int kStep = kKind == PanelRows::kApart || kKind == PanelRows::kApartTwoRuns ? W : 1;
  F acc[R][2];
  float* const out = t.out;
  const int64_t out_step = t.out_step, half = t.half ? t.half : W;
  if (t.add) {
#pragma GCC unroll unrolled(16)
    for (int r = 0; r < R; ++r)
      acc[r][0] = load(out + r * out_step), acc[r][1] = load(out + r * out_step + half);
  } else {
#pragma GCC unroll unrolled(16)
    for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = set(0);
  }
  const float *panel = t.panel, *x = t.x, *next = t.next ? t.next : t.x;
  const int64_t *tap = t.tap, second = t.second, taps = t.taps;
  for (int64_t i = t.planes; i > 0; --i, x += t.plane) {
    __builtin_prefetch(next, 0, 2);
    next += t.next_plane;
    for (int64_t j = 0; j < taps; ++j, panel += 2 * W) {
      const float *p = x + tap[j], *q = p + second;
      const F b0 = load(panel), b1 = load(panel + W);
#pragma GCC unroll unrolled(16)
      for (int r = 0; r < R; ++r) {
        const F a = set(r < kRun ? p[r * kStep] : q[(r - kRun) * kStep]);
        acc[r][0] = fma(a, b0, acc[r][0]);
        acc[r][1] = fma(a, b1, acc[r][1]);
      }
    }
  }
#pragma GCC unroll unrolled(16)
  for (int r = 0; r < R; ++r)
    store(out + r * out_step, acc[r][0]), store(out + r * out_step + half, acc[r][1]);
}

template <PanelRows kKind, int... I>
PanelTileFn pick(int rows, std::integer_sequence<int, I...>) {
  if constexpr (kKind == PanelRows::kTwoRuns || kKind == PanelRows::kApartTwoRuns) {
    static constexpr PanelTileFn fns[] = {tile<2 * I + 2, kKind>...};
    return fns[rows / 2 - 1];
  } else {
    static constexpr PanelTileFn fns[] = {tile<I + 1, kKind>...};
    return fns[rows - 1];
  }
}

}  // namespace

PanelTileFn panel_tile(int rows, PanelRows kind) {
  HOIST_CHECK(rows >= 1 && rows <= kPanelRows, "a panel tile of that many rows does not exist");
  using All = std::make_integer_sequence<int, kPanelRows>;
  using Half = std::make_integer_sequence<int, kPanelRows / 2>;
  switch (kind) {
    case PanelRows::kTwoRuns: return pick<PanelRows::kTwoRuns>(rows, Half());
    case PanelRows::kApart: return pick<PanelRows::kApart>(rows, All());
    case PanelRows::kApartTwoRuns: return pick<PanelRows::kApartTwoRuns>(rows, Half());
    case PanelRows::kTogether: break;
  }
  return pick<PanelRows::kTogether>(rows, All());
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
