// The register tile that convolution, Winograd products and recurrent layers share: a few rows, read one
// number at a time, times a packed panel of 2 * W columns.
//
//   out[r][0 .. 2W) = (add ? out[r] : 0) + sum over i < planes, t < taps of
//                     x[i * plane + tap[t] + place(r)] * panel[i * taps + t][0 .. 2W)
//
// One chain of multiply-adds runs from the first (i, t) to the last. Rows lie next to each other, in two runs
// `second` apart, or W floats apart (in one run or two).
#pragma once

#include <cstdint>

namespace hoist::kernels::cpu {

struct PanelTile {
  const float* x;
  int64_t plane, planes;
  const int64_t* tap;
  int64_t taps;
  const float* panel;
  float* out;        // 64-byte aligned rows
  int64_t out_step;  // from row to row
  int64_t half = 0;  // from a row's first W columns to its other ones; 0: they follow
  int64_t second = 0;
  bool add = false;
  const float* next =
      nullptr;  // one line at next + i * next_plane is fetched per plane, for what comes after
  int64_t next_plane = 0;
};
using PanelTileFn = void (*)(const PanelTile&);
enum class PanelRows : int8_t { kTogether, kTwoRuns, kApart, kApartTwoRuns };

// Each set has tiles of 1 .. kPanelRows rows (two runs: even numbers).
namespace portable {
constexpr int kPanelRows = 4;
PanelTileFn panel_tile(int rows, PanelRows kind);
}  // namespace portable
namespace avx2 {
constexpr int kPanelRows = 6;
PanelTileFn panel_tile(int rows, PanelRows kind);
}  // namespace avx2
namespace avx512 {
constexpr int kPanelRows = 14;
PanelTileFn panel_tile(int rows, PanelRows kind);
}  // namespace avx512

}  // namespace hoist::kernels::cpu
