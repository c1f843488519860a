// Winograd convolution F(m x m, 3 x 3), m = 2 or 4: n = m + 2, and each n x n tile of the input becomes n^2
// numbers per channel, each output tile comes from n^2 products over the channels.
//
//   u [n^2][panel of 2W out][in][2W]   transformed weights, packed ahead
//   v [n^2][in / W][tiles][W]          transformed tiles: W channels in the lanes
//   m [n^2][tiles][2W]                 products, one panel of output channels at a time
//
// Tiles go in strips, one row of tiles of an image each. Where the tiles are many a worker takes some strips
// through all three steps in its own cache; where they are few and the weights large each step is done for
// all of them, shared out over the workers.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/common.h"
#include "kernels/cpu/conv/parts.h"
#include "kernels/cpu/panel_tile.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

constexpr int64_t kChunkBytes = 448 << 10;  // of v, in a worker's second-level cache
constexpr int64_t kSweepBytes = 12 << 20;   // of v and m, in the shared cache

// Forward or input gradient of a 3 x 3 convolution with stride 1: source, result and padding.
struct Winograd {
  int64_t batch, in, src_h, src_w, out, dst_h, dst_w, top, left, out_stride, in_stride;
  bool flip;     // taps are read backwards
  bool blocked;  // images
  int m, n;
  int64_t tiles_h, tiles_w;
  int64_t strips() const { return batch * tiles_h; }
};

Winograd winograd_of(const ConvPlan& p) {
  const ConvShape& s = p.shape;
  Winograd g{};
  g.batch = s.batch;
  g.m = p.algorithm == ConvAlgorithm::kWinograd2 ? 2 : 4;
  g.n = g.m + 2;
  g.blocked = p.blocked;
  if (p.pass == ConvPass::kForward) {
    g.in = s.in, g.src_h = s.h, g.src_w = s.w, g.out = s.out, g.dst_h = s.out_h, g.dst_w = s.out_w;
    g.top = s.pad_top, g.left = s.pad_left, g.out_stride = s.in * 9, g.in_stride = 9;
  } else {
    g.in = s.out, g.src_h = s.out_h, g.src_w = s.out_w, g.out = s.in, g.dst_h = s.h, g.dst_w = s.w;
    g.top = 2 - s.pad_top, g.left = 2 - s.pad_left, g.out_stride = 9, g.in_stride = s.in * 9;
    g.flip = true;
  }
  g.tiles_h = ceil_div(g.dst_h, g.m);
  g.tiles_w = ceil_div(g.dst_w, g.m);
  return g;
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/conv/winograd.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/conv/blocks.inc"

constexpr int64_t kPanel = 2 * W;

int64_t padded_in(const Winograd& g) { return round_up(g.in, W); }
int64_t panels_of(const Winograd& g) { return ceil_div(g.out, kPanel); }

// How a run is cut: `strips` at a time, by one worker each (fused) or by all together.
struct Cut {
  int64_t strips;
  bool fused;
};
int64_t v_floats(const Winograd& g, int64_t strips) { return g.n * g.n * padded_in(g) * strips * g.tiles_w; }
int64_t m_floats(const Winograd& g, int64_t strips) { return g.n * g.n * kPanel * strips * g.tiles_w; }
int64_t strip_floats(const Winograd& g) { return g.n * (g.tiles_w * g.m + 2) * W; }

int64_t strips_within(const Winograd& g, int64_t bytes, int64_t each) {
  return std::clamp<int64_t>(bytes / std::max<int64_t>(1, each), 1, std::max<int64_t>(1, g.strips()));
}
int64_t fused_strips(const Winograd& g) { return strips_within(g, kChunkBytes, 4 * v_floats(g, 1)); }
int64_t sweep_bytes(const Winograd& g) { return 4 * (v_floats(g, 1) + panels_of(g) * m_floats(g, 1)); }
int64_t sweep_strips(const Winograd& g) { return strips_within(g, kSweepBytes, sweep_bytes(g)); }

Cut cut_of(const Winograd& g, int threads) {
  const int64_t fused = fused_strips(g);
  const int64_t chunks = ceil_div(g.strips(), fused);
  const int64_t u_bytes = 4 * g.n * g.n * padded_in(g) * panels_of(g) * kPanel;
  // Bytes that move through the shared cache: the weights per chunk, or v and m twice.
  const bool cheap = u_bytes <= kChunkBytes || chunks * u_bytes <= 2 * sweep_bytes(g) * g.strips();
  if ((chunks >= 4 * threads || threads == 1) && cheap && fused * g.tiles_w >= kPanelRows / 2)
    return {ceil_div(g.strips(), chunks), true};
  return {ceil_div(g.strips(), ceil_div(g.strips(), sweep_strips(g))), false};
}

// The three transforms in one dimension, for m = 2 and m = 4.
template <int M>
HOIST_INLINE void input_line(const F* d, F* t) {
  if constexpr (M == 2) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
  } else {
    const F four = set(4), five = set(5);
    const F even = fma(set(-4), d[2], d[4]), odd = fma(set(-4), d[1], d[3]);
    const F half = d[4] - d[2], twice = set(2) * (d[3] - d[1]);
    t[0] = fma(four, d[0], fma(-five, d[2], d[4]));
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = half + twice;
    t[4] = half - twice;
    t[5] = fma(four, d[1], fma(-five, d[3], d[5]));
  }
}
template <int M>
HOIST_INLINE void output_line(const F* d, F* y) {
  if constexpr (M == 2) {
    y[0] = (d[0] + d[1]) + d[2];
    y[1] = (d[1] - d[2]) - d[3];
  } else {
    const F s = d[1] + d[2], u = d[1] - d[2], v = d[3] + d[4], z = d[3] - d[4];
    y[0] = (d[0] + s) + v;
    y[1] = fma(set(2), z, u);
    y[2] = fma(set(4), v, s);
    y[3] = fma(set(8), z, u) + d[5];
  }
}
template <int M>
HOIST_INLINE void weight_line(const F* g, F* t) {
  if constexpr (M == 2) {
    const F half = set(0.5f), ends = half * (g[0] + g[2]), middle = half * g[1];
    t[0] = g[0];
    t[1] = ends + middle;
    t[2] = ends - middle;
    t[3] = g[2];
  } else {
    const F sixth = set(-1.0f / 6), ends = sixth * (g[0] + g[2]), middle = sixth * g[1];
    const F far = fma(set(1.0f / 24), g[0], set(1.0f / 6) * g[2]), near = set(1.0f / 12) * g[1];
    t[0] = set(0.25f) * g[0];
    t[1] = ends + middle;
    t[2] = ends - middle;
    t[3] = far + near;
    t[4] = far - near;
    t[5] = g[2];
  }
}

// W channels of one strip -> v at tiles [at, at + tiles_w); `rows` holds n rows of the padded input.
template <int M>
void transform_input(const Winograd& g, const float* x, int64_t strip, int64_t block, int64_t at,
                     int64_t tiles, float* v, float* rows) {
  constexpr int N = M + 2;
  const int64_t width = g.tiles_w * M + 2, image = strip / g.tiles_h, top = strip % g.tiles_h * M - g.top;
  const int64_t plane = g.src_h * g.src_w;
  const int channels = static_cast<int>(std::min<int64_t>(W, g.in - block * W));
  const float* src = x + (image * (g.blocked ? padded_in(g) : g.in) + block * W) * plane;
  const int64_t skip = std::clamp<int64_t>(g.left, 0, width), end = std::clamp(g.src_w + g.left, skip, width);
  for (int a = 0; a < N; ++a) {
    float* row = rows + a * width * W;
    const int64_t h = top + a;
    const bool inside = h >= 0 && h < g.src_h;
    if (!inside) {
      std::memset(row, 0, static_cast<size_t>(width * W) * sizeof(float));
      continue;
    }
    std::memset(row, 0, static_cast<size_t>(skip * W) * sizeof(float));
    if (g.blocked)
      std::memcpy(row + skip * W, src + (h * g.src_w + skip - g.left) * W,
                  static_cast<size_t>((end - skip) * W) * sizeof(float));
    for (int64_t c = skip; c < end && !g.blocked; c += W)
      planes_to_rows(src + h * g.src_w + c - g.left, plane, channels,
                     static_cast<int>(std::min<int64_t>(W, end - c)), row + c * W, W);
    std::memset(row + end * W, 0, static_cast<size_t>((width - end) * W) * sizeof(float));
  }
  for (int64_t c = 0; c < width; ++c) {
    F d[N], t[N];
#pragma GCC unroll unrolled(6)
    for (int a = 0; a < N; ++a) d[a] = load(rows + (a * width + c) * W);
    input_line<M>(d, t);
#pragma GCC unroll unrolled(6)
    for (int a = 0; a < N; ++a) store(rows + (a * width + c) * W, t[a]);
  }
  const int64_t step = padded_in(g) * tiles;  // from one of the n^2 numbers to the next
  for (int64_t j = 0; j < g.tiles_w; ++j) {
    float* to = v + (block * tiles + at + j) * W;
    for (int a = 0; a < N; ++a) {
      F d[N], t[N];
#pragma GCC unroll unrolled(6)
      for (int b = 0; b < N; ++b) d[b] = load(rows + (a * width + j * M + b) * W);
      input_line<M>(d, t);
#pragma GCC unroll unrolled(6)
      for (int b = 0; b < N; ++b) store(to + (a * N + b) * step, t[b]);
    }
  }
}

// m of one of the n^2 numbers and one panel.
void multiply(const Winograd& g, const float* u, const float* v, int64_t tiles, int64_t xi, int64_t panel,
              float* m) {
  static constexpr auto kLanes = [] {
    struct Taps {
      int64_t at[W];
    } t{};
    for (int i = 0; i < W; ++i) t.at[i] = i;
    return t;
  }();
  PanelTile tile;
  tile.plane = tiles * W;
  tile.planes = padded_in(g) / W;
  tile.tap = kLanes.at;
  tile.taps = W;
  tile.panel = u + (xi * panels_of(g) + panel) * padded_in(g) * kPanel;
  tile.out_step = kPanel;
  const int64_t pieces = ceil_div(tiles, kPanelRows);
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t begin = i * tiles / pieces, end = (i + 1) * tiles / pieces;
    tile.x = v + xi * padded_in(g) * tiles + begin * W;
    tile.out = m + (xi * tiles + begin) * kPanel;
    panel_tile(static_cast<int>(end - begin), PanelRows::kApart)(tile);
  }
}

// One panel of one strip -> y.
template <int M>
void transform_output(const Winograd& g, const float* m, int64_t tiles, int64_t at, int64_t strip,
                      int64_t panel, float* y, float* rows) {
  constexpr int N = M + 2;
  const int64_t width = g.tiles_w * M, image = strip / g.tiles_h, top = strip % g.tiles_h * M;
  const int64_t plane = g.dst_h * g.dst_w;
  for (int64_t first = panel * kPanel; first < std::min(g.out, (panel + 1) * kPanel); first += W) {
    for (int64_t j = 0; j < g.tiles_w; ++j) {
      const float* from = m + (at + j) * kPanel + first - panel * kPanel;
      F half[M][N];
#pragma GCC unroll unrolled(6)
      for (int b = 0; b < N; ++b) {
        F d[N], t[M];
#pragma GCC unroll unrolled(6)
        for (int a = 0; a < N; ++a) d[a] = load(from + (a * N + b) * tiles * kPanel);
        output_line<M>(d, t);
#pragma GCC unroll unrolled(6)
        for (int a = 0; a < M; ++a) half[a][b] = t[a];
      }
#pragma GCC unroll unrolled(6)
      for (int a = 0; a < M; ++a) {
        F t[M];
        output_line<M>(half[a], t);
#pragma GCC unroll unrolled(6)
        for (int b = 0; b < M; ++b) store(rows + (a * width + j * M + b) * W, t[b]);
      }
    }
    if (g.blocked) {
      float* to = y + (image * round_up(g.out, W) + first) * plane + top * g.dst_w * W;
      for (int64_t a = 0; a < std::min<int64_t>(M, g.dst_h - top); ++a)
        std::memcpy(to + a * g.dst_w * W, rows + a * width * W,
                    static_cast<size_t>(g.dst_w * W) * sizeof(float));
      continue;
    }
    float* dst = y + (image * g.out + first) * plane + top * g.dst_w;
    const int channels = static_cast<int>(std::min<int64_t>(W, g.out - first));
    for (int64_t a = 0; a < std::min<int64_t>(M, g.dst_h - top); ++a)
      for (int64_t c = 0; c < g.dst_w; c += W)
        rows_to_planes(rows + (a * width + c) * W, W, channels,
                       static_cast<int>(std::min<int64_t>(W, g.dst_w - c)), dst + a * g.dst_w + c, plane);
  }
}

template <int M>
void run(const Winograd& g, const float* x, const float* u, float* y, std::byte* work, ThreadPool& pool) {
  const Cut c = cut_of(g, pool.threads());
  const int64_t blocks = padded_in(g) / W, panels = panels_of(g), numbers = g.n * g.n;
  const int64_t strip_bytes = align64(4 * strip_floats(g));
  auto scratch = [&](int worker) { return reinterpret_cast<float*>(work + worker * strip_bytes); };
  std::byte* rest = work + pool.threads() * strip_bytes;
  if (c.fused) {
    const int64_t v_bytes = align64(4 * v_floats(g, c.strips)), m_bytes = align64(4 * m_floats(g, c.strips));
    pool.parallel_for(ceil_div(g.strips(), c.strips), 1, [&](int64_t begin, int64_t end, int worker) {
      float* v = reinterpret_cast<float*>(rest + worker * (v_bytes + m_bytes));
      float* m = reinterpret_cast<float*>(rest + worker * (v_bytes + m_bytes) + v_bytes);
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        const int64_t first = chunk * c.strips, count = std::min(c.strips, g.strips() - first);
        const int64_t tiles = count * g.tiles_w;
        for (int64_t s = 0; s < count; ++s)
          for (int64_t b = 0; b < blocks; ++b)
            transform_input<M>(g, x, first + s, b, s * g.tiles_w, tiles, v, scratch(worker));
        for (int64_t p = 0; p < panels; ++p) {
          for (int64_t xi = 0; xi < numbers; ++xi) multiply(g, u, v, tiles, xi, p, m);
          for (int64_t s = 0; s < count; ++s)
            transform_output<M>(g, m, tiles, s * g.tiles_w, first + s, p, y, scratch(worker));
        }
      }
    });
    return;
  }
  float* v = reinterpret_cast<float*>(rest);
  float* m = reinterpret_cast<float*>(rest + align64(4 * v_floats(g, c.strips)));
  const int64_t m_panel = m_floats(g, c.strips);
  for (int64_t first = 0; first < g.strips(); first += c.strips) {
    const int64_t count = std::min(c.strips, g.strips() - first), tiles = count * g.tiles_w;
    pool.parallel_for(count * blocks, grain_for(g.tiles_w * numbers * W),
                      [&](int64_t begin, int64_t end, int worker) {
                        for (int64_t i = begin; i < end; ++i)
                          transform_input<M>(g, x, first + i / blocks, i % blocks, i / blocks * g.tiles_w,
                                             tiles, v, scratch(worker));
                      });
    pool.parallel_for(numbers * panels, grain_for(tiles * g.in), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        multiply(g, u, v, tiles, i / panels, i % panels, m + i % panels * m_panel);
    });
    pool.parallel_for(count * panels, grain_for(g.tiles_w * numbers * kPanel),
                      [&](int64_t begin, int64_t end, int worker) {
                        for (int64_t i = begin; i < end; ++i)
                          transform_output<M>(g, m + i % panels * m_panel, tiles, i / panels * g.tiles_w,
                                              first + i / panels, i % panels, y, scratch(worker));
                      });
  }
}

// The n^2 numbers of W output channels and one input channel -> u at this channel.
template <int M>
void transform_weights(const Winograd& g, const float* w, int64_t first, int64_t i, float* u, int64_t step) {
  constexpr int N = M + 2;
  alignas(64) float taps[9][W] = {};
  if (i < g.in)
    for (int64_t o = first; o < std::min(g.out, first + W); ++o)
      for (int t = 0; t < 9; ++t)
        taps[g.flip ? 8 - t : t][o - first] = w[o * g.out_stride + i * g.in_stride + t];
  F half[3][N];
  for (int b = 0; b < 3; ++b) {
    const F d[3] = {load(taps[b]), load(taps[3 + b]), load(taps[6 + b])};
    weight_line<M>(d, half[b]);
  }
  for (int a = 0; a < N; ++a) {
    const F d[3] = {half[0][a], half[1][a], half[2][a]};
    F t[N];
    weight_line<M>(d, t);
    for (int b = 0; b < N; ++b) store(u + (a * N + b) * step, t[b]);
  }
}

}  // namespace

int64_t winograd_packed_floats(const ConvPlan& p) {
  const Winograd g = winograd_of(p);
  return g.n * g.n * padded_in(g) * panels_of(g) * kPanel;
}

void winograd_pack(const ConvPlan& p, const float* w, float* packed, ThreadPool& pool) {
  const Winograd g = winograd_of(p);
  const int64_t in = padded_in(g), step = in * panels_of(g) * kPanel;
  pool.parallel_for(panels_of(g) * in, grain_for(g.n * g.n * kPanel), [&](int64_t begin, int64_t end, int) {
    for (int64_t k = begin; k < end; ++k)
      for (int64_t h = 0; h < kPanel; h += W) {
        const int64_t first = k / in * kPanel + h;
        if (g.m == 2)
          transform_weights<2>(g, w, first, k % in, packed + k * kPanel + h, step);
        else
          transform_weights<4>(g, w, first, k % in, packed + k * kPanel + h, step);
      }
  });
}

int64_t winograd_workspace(const ConvPlan& p, int threads) {
  const Winograd g = winograd_of(p);
  // Enough for either way: fewer images of a live batch may be cut otherwise.
  const int64_t fused = fused_strips(g), sweep = sweep_strips(g);
  const int64_t own = align64(4 * v_floats(g, fused)) + align64(4 * m_floats(g, fused));
  const int64_t shared = align64(4 * v_floats(g, sweep)) + panels_of(g) * align64(4 * m_floats(g, sweep));
  return threads * align64(4 * strip_floats(g)) + std::max(threads * own, shared);
}

void winograd_run(const ConvPlan& p, const float* x, const float* packed, float* y, std::byte* work,
                  ThreadPool& pool) {
  const Winograd g = winograd_of(p);
  if (g.strips() == 0 || g.tiles_w == 0 || g.out == 0) return;
  if (g.m == 2)
    run<2>(g, x, packed, y, work, pool);
  else
    run<4>(g, x, packed, y, work, pool);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
