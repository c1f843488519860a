// conv.h's calls, and explicit GEMM: im2col in pieces, one product each.
#include "kernels/cpu/conv/conv.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/conv/parts.h"
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

constexpr int64_t kPieceBytes = 8 << 20;

// Output rows whose columns fill a piece.
int64_t piece_rows(const ConvShape& s) {
  const int64_t row_bytes = 4 * s.in * s.kh * s.kw * s.out_w;
  return std::clamp<int64_t>(kPieceBytes / std::max<int64_t>(1, row_bytes), 1, std::max<int64_t>(1, s.out_h));
}
int64_t piece_floats(const ConvShape& s) {
  return round_up(s.in * s.kh * s.kw * s.out_w * piece_rows(s), 16);
}

// Row k = (i, tap) of the columns: what that tap reads for output rows [first, first + rows).
void column_row(const ConvShape& s, const float* image, int64_t k, int64_t first, int64_t rows, float* dst) {
  const int64_t i = k / (s.kh * s.kw), tap_h = k / s.kw % s.kh, tap_w = k % s.kw;
  for (int64_t r = first; r < first + rows; ++r, dst += s.out_w) {
    const int64_t h = r * s.stride_h + tap_h * s.dilation_h - s.pad_top;
    const float* row = image + (i * s.h + h) * s.w;
    for (int64_t c = 0; c < s.out_w; ++c) {
      const int64_t w = c * s.stride_w + tap_w * s.dilation_w - s.pad_left;
      dst[c] = h >= 0 && h < s.h && w >= 0 && w < s.w ? row[w] : 0;
    }
  }
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/conv/conv.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

void explicit_run(const ConvShape& s, const float* x, const float* w, float* y, std::byte* work,
                  ThreadPool& pool) {
  float* columns = reinterpret_cast<float*>(work);
  const int64_t depth = s.in * s.kh * s.kw, step = piece_rows(s), pixels = s.out_h * s.out_w;
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t r = 0; r < s.out_h; r += step) {
      const int64_t rows = std::min(step, s.out_h - r), count = rows * s.out_w;
      pool.parallel_for(depth, grain_for(count), [&](int64_t begin, int64_t end, int) {
        for (int64_t k = begin; k < end; ++k)
          column_row(s, x + n * s.in * s.h * s.w, k, r, rows, columns + k * count);
      });
      Gemm g;
      g.m.add(s.out, depth, 0, pixels);
      g.n.add(count, 0, 1, 1);
      g.k.add(depth, 1, count, 0);
      g.a = reinterpret_cast<const std::byte*>(w);
      g.b = reinterpret_cast<const std::byte*>(columns);
      g.c = reinterpret_cast<std::byte*>(y + n * s.out * pixels + r * s.out_w);
      gemm(g, work + piece_floats(s) * 4, pool);
    }
}

}  // namespace

int64_t conv_lanes() { return W; }

int64_t conv_packed_bytes(const ConvPlan& p) {
  switch (p.algorithm) {
    case ConvAlgorithm::kExplicit: return 4 * p.shape.out * p.shape.in * p.shape.kh * p.shape.kw;
    case ConvAlgorithm::kImplicit:
      return 4 * (p.blocked ? blocked_packed_floats(p) : implicit_packed_floats(p));
    default: return 4 * winograd_packed_floats(p);
  }
}

int64_t conv_workspace(const ConvPlan& p, int threads) {
  const ConvShape& s = p.shape;
  switch (p.algorithm) {
    case ConvAlgorithm::kExplicit:
      return piece_floats(s) * 4 +
             gemm_workspace(s.out, piece_rows(s) * s.out_w, s.in * s.kh * s.kw, threads);
    case ConvAlgorithm::kImplicit:
      return p.blocked ? blocked_workspace(p, threads) : implicit_workspace(p, threads);
    default: return winograd_workspace(p, threads);
  }
}

void conv_pack(const ConvPlan& p, const float* weights, std::byte* packed, ThreadPool& pool) {
  float* to = reinterpret_cast<float*>(packed);
  switch (p.algorithm) {
    case ConvAlgorithm::kExplicit:
      std::memcpy(to, weights, static_cast<size_t>(conv_packed_bytes(p)));
      return;
    case ConvAlgorithm::kImplicit: return (p.blocked ? blocked_pack : implicit_pack)(p, weights, to, pool);
    default: return winograd_pack(p, weights, to, pool);
  }
}

void conv_run(const ConvPlan& p, const float* x, const std::byte* packed, float* y, std::byte* workspace,
              ThreadPool& pool) {
  const float* w = reinterpret_cast<const float*>(packed);
  switch (p.algorithm) {
    case ConvAlgorithm::kExplicit: return explicit_run(p.shape, x, w, y, workspace, pool);
    case ConvAlgorithm::kImplicit:
      return (p.blocked ? blocked_run : implicit_run)(p, x, w, y, workspace, pool);
    default: return winograd_run(p, x, w, y, workspace, pool);
  }
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
