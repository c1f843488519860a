// The weights' gradient: dw[o, i, s, t] = sum over images and pixels of dy[n, o, r, c] x[n, i, .., ..]. Both
// tensors are turned pixel by pixel (channels innermost, panels of 2W of dy, a few of x), image after image;
// one tile is then a few input channels by 2W output channels for one tap, summed over a block of rows.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/common.h"
#include "kernels/cpu/conv/parts.h"
#include "kernels/cpu/panel_tile.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/conv/weight_grad.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/conv/blocks.inc"

constexpr int64_t kPanel = 2 * W;
constexpr int64_t kBlockPixels = 512;  // dy's panel of a block stays in the first caches

struct Layout {
  int64_t slices, wide;  // of x's channels, each `wide` (the last may be narrower in truth)
  int64_t panels;
  int64_t x_h, x_w;            // the padded image that taps read
  int64_t block_rows, blocks;  // of the output
  int64_t x_floats, y_floats, sum_floats;
};
Layout layout_of(const ConvShape& s) {
  Layout l;
  l.slices = std::max<int64_t>(1, ceil_div(s.in, kPanelRows));
  l.wide = ceil_div(s.in, l.slices);
  l.panels = ceil_div(s.out, kPanel);
  l.x_h = std::max<int64_t>(0, (s.out_h - 1) * s.stride_h + (s.kh - 1) * s.dilation_h + 1);
  l.x_w = std::max<int64_t>(0, (s.out_w - 1) * s.stride_w + (s.kw - 1) * s.dilation_w + 1);
  l.block_rows = std::max<int64_t>(1, kBlockPixels / std::max<int64_t>(1, s.out_w));
  l.blocks = ceil_div(s.out_h, l.block_rows);
  l.x_floats = round_up(l.slices * l.x_h * l.x_w * l.wide + W, 16);
  l.y_floats = round_up(l.panels * s.out_h * s.out_w * kPanel, 16);
  l.sum_floats = round_up(s.kh * s.kw * l.slices * l.panels * l.wide * kPanel, 16);
  return l;
}

// Row h of the padded image, one slice of channels: [x_w][wide].
void turn_x(const ConvShape& s, const Layout& l, const float* image, int64_t slice, int64_t h, float* dst) {
  const int64_t src = h - s.pad_top, first = slice * l.wide;
  const int channels = static_cast<int>(std::min(l.wide, s.in - first));
  const int64_t skip = std::min(s.pad_left, l.x_w), end = std::clamp(s.w + s.pad_left, skip, l.x_w);
  if (src < 0 || src >= s.h || channels <= 0) {
    std::memset(dst, 0, static_cast<size_t>(l.x_w * l.wide) * sizeof(float));
    return;
  }
  const float* row = image + (first * s.h + src) * s.w;
  std::memset(dst, 0, static_cast<size_t>(skip * l.wide) * sizeof(float));
  // Whole vectors are stored, so each pixel overwrites the tail of the one before; the last ones are cut.
  for (int64_t c = skip; c < end; c += W) {
    const int n = static_cast<int>(std::min<int64_t>(W, end - c));
    alignas(64) float block[W * W];
    planes_to_rows(row + c - s.pad_left, s.h * s.w, channels, n, block, W);
    for (int j = 0; j < n; ++j)
      store_n(dst + (c + j) * l.wide, load(block + j * W), static_cast<int>(l.wide));
  }
  std::memset(dst + end * l.wide, 0, static_cast<size_t>((l.x_w - end) * l.wide) * sizeof(float));
}

// A run of dy's pixels, one panel: [pixels][2W].
void turn_y(const ConvShape& s, const float* image, int64_t panel, int64_t begin, int64_t end, float* dst) {
  const int64_t pixels = s.out_h * s.out_w;
  for (int64_t h = 0; h < kPanel; h += W) {
    const int64_t first = panel * kPanel + h;
    const int rows = static_cast<int>(std::clamp<int64_t>(s.out - first, 0, W));
    const float* src = image + std::min(first, s.out - 1) * pixels;
    for (int64_t c = begin; c < end; c += W)
      planes_to_rows(src + c, pixels, rows, static_cast<int>(std::min<int64_t>(W, end - c)),
                     dst + c * kPanel + h, kPanel);
  }
}

}  // namespace

int64_t conv_weight_grad_workspace(const ConvShape& s, int threads) {
  const Layout l = layout_of(s);
  return align64(8 * s.out_w) + 4 * (l.x_floats + l.y_floats + l.sum_floats) +
         threads * 4 * kPanelRows * kPanel;
}

void conv_weight_grad(const ConvShape& s, const float* x, const float* dy, float* dw, std::byte* workspace,
                      ThreadPool& pool) {
  const Layout l = layout_of(s);
  const int64_t taps = s.kh * s.kw, pixels = s.out_h * s.out_w;
  if (s.in * s.out * taps == 0) return;
  auto* column = reinterpret_cast<int64_t*>(workspace);
  for (int64_t c = 0; c < s.out_w; ++c) column[c] = c * s.stride_w * l.wide;
  float* xs = reinterpret_cast<float*>(workspace + align64(8 * s.out_w));
  float *ys = xs + l.x_floats, *sums = ys + l.y_floats, *tiles = sums + l.sum_floats;
  if (s.batch == 0 || pixels == 0) {
    std::fill_n(dw, s.out * s.in * taps, 0.0f);
    return;
  }
  const int64_t row_floats = l.x_w * l.wide, slice_floats = l.x_h * row_floats;
  const int64_t sum_step = l.wide * kPanel;
  for (int64_t n = 0; n < s.batch; ++n) {
    const float *image = x + n * s.in * s.h * s.w, *grads = dy + n * s.out * pixels;
    const int64_t x_jobs = l.slices * l.x_h, y_jobs = l.panels * l.blocks;
    pool.parallel_for(x_jobs, grain_for(row_floats), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) turn_x(s, l, image, i / l.x_h, i % l.x_h, xs + i * row_floats);
    });
    pool.parallel_for(
        y_jobs, grain_for(l.block_rows * s.out_w * kPanel), [&](int64_t begin, int64_t end, int) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t first = i % l.blocks * l.block_rows * s.out_w;
            turn_y(s, grads, i / l.blocks, first, std::min(pixels, first + l.block_rows * s.out_w),
                   ys + i / l.blocks * pixels * kPanel);
          }
        });
    // A job is one panel by one slice: its part of dy and x stays in cache for every tap.
    const int64_t jobs = l.panels * l.slices;
    pool.parallel_for(jobs, grain_for(pixels * taps * W), [&](int64_t begin, int64_t end, int worker) {
      float* buffer = tiles + worker * kPanelRows * kPanel;
      for (int64_t job = begin; job < end; ++job) {
        const int64_t panel = job / l.slices, slice = job % l.slices;
        for (int64_t block = 0; block < l.blocks; ++block) {
          const int64_t row = block * l.block_rows, rows = std::min(l.block_rows, s.out_h - row);
          for (int64_t t = 0; t < taps; ++t) {
            PanelTile tile;
            tile.x = xs + slice * slice_floats + (row * s.stride_h + t / s.kw * s.dilation_h) * row_floats +
                     t % s.kw * s.dilation_w * l.wide;
            tile.plane = s.stride_h * row_floats;
            tile.planes = rows;
            tile.tap = column;
            tile.taps = s.out_w;
            tile.panel = ys + (panel * pixels + row * s.out_w) * kPanel;
            float* sum = sums + (job * taps + t) * sum_step;
            const bool first = n == 0 && block == 0;
            tile.out = first ? sum : buffer;
            tile.out_step = kPanel;
            panel_tile(static_cast<int>(l.wide), PanelRows::kTogether)(tile);
            for (int64_t i = 0; i < sum_step && !first; i += W)
              store(sum + i, load(sum + i) + load(buffer + i));
          }
        }
      }
    });
  }
  pool.parallel_for(l.panels * l.slices, grain_for(taps * sum_step), [&](int64_t begin, int64_t end, int) {
    for (int64_t job = begin; job < end; ++job) {
      const int64_t o0 = job / l.slices * kPanel, i0 = job % l.slices * l.wide;
      const int64_t outs = std::min(kPanel, s.out - o0), ins = std::min(l.wide, s.in - i0);
      const float* sum = sums + job * taps * sum_step;
      if (taps == 1) {
        for (int64_t o = 0; o < outs; o += W)
          rows_to_planes(sum + o, kPanel, static_cast<int>(std::min<int64_t>(W, outs - o)),
                         static_cast<int>(ins), dw + (o0 + o) * s.in + i0, s.in);
        continue;
      }
      for (int64_t o = 0; o < outs; ++o) {
        float* to = dw + ((o0 + o) * s.in + i0) * taps;
        for (int64_t t = 0; t < taps; ++t)
          for (int64_t i = 0; i < ins; ++i) to[i * taps + t] = sum[t * sum_step + i * kPanel + o];
      }
    }
  });
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
