// Implicit GEMM over blocked images (conv.h): the channels of a pixel are lanes already, so a tile reads
// pixels W floats apart and writes whole vectors, and an image without padding or strides is read where it
// lies.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/conv/regions.h"
#include "kernels/cpu/panel_tile.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/conv/blocked.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

constexpr int64_t kPanel = 2 * W;

int64_t blocks_of(int64_t channels) { return ceil_div(channels, W); }
int64_t panels_of(const TapConv& t) { return ceil_div(t.out, kPanel); }
int64_t depth_of(const TapConv& t) { return blocks_of(t.in) * W * t.taps_h * t.taps_w; }
int64_t part_floats(const TapConv& t) { return panels_of(t) * kPanel * depth_of(t); }

// Floats of one block of channels of a region's copy, of any batch.
int64_t copied_floats(const TapConv& t, const Regions& g) {
  return blocks_of(t.in) * W * g.row_slots * g.col_slots * (g.most_rows + g.more_rows) *
         (g.most_cols + g.more_cols);
}

// The region's pixels, block after block of channels, as implicit.cc copies planes.
void copy_region(const TapConv& t, const Regions& g, const TapOrder& o, const float* image, int64_t row,
                 int64_t rows, int64_t col, int64_t cols, float* dst) {
  const int64_t more = g.rows + g.more_rows, count = cols + g.more_cols;
  for (int64_t i = 0; i < blocks_of(t.in); ++i, image += t.src_h * t.src_w * W, dst += g.plane * W)
    for (int64_t a = 0; a < g.row_slots; ++a)
      for (int64_t y = 0; y < rows + g.more_rows; ++y) {
        const int64_t src_row = (row + y) * t.step_h + o.first_row + o.row_residue[a];
        const bool inside = src_row >= 0 && src_row < t.src_h;
        float* to = dst + (a * more + y) * g.row_length * W;
        for (int64_t b = 0; b < g.col_slots; ++b, to += g.col_length * W) {
          const int64_t first = col * t.step_w + o.first_col + o.col_residue[b];
          const float* from = image + (src_row * t.src_w + first) * W;
          for (int64_t c = 0; c < count; ++c) {
            const int64_t at = first + c * t.step_w;
            store(to + c * W, inside && at >= 0 && at < t.src_w ? load(from + c * t.step_w * W) : set(0));
          }
        }
      }
}

struct Call {
  const TapConv& t;
  const Regions& g;
  const int64_t* tap;  // of every lane of every tap
  bool direct;         // the image itself is read
  int64_t block;       // blocks of channels between visits of the result
};

// One panel over one region. `region` is where grid (row, col) reads its first numbers.
void run_panel(const Call& k, const float* region, const float* panel, float* dst, float* buffer,
               int64_t channels, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  const TapConv& t = k.t;
  const int64_t taps = t.taps_h * t.taps_w, blocks = blocks_of(t.in), dst_plane = t.dst_h * t.dst_w * W;
  const int64_t line = (k.direct ? t.src_w : k.g.row_length) * W;
  PanelTile tile;
  tile.plane = (k.direct ? t.src_h * t.src_w : k.g.plane) * W;
  tile.tap = k.tap;
  tile.taps = taps * W;
  const int64_t pieces = ceil_div(cols, kPanelRows);
  // Two short rows make one tile where they lie together in the result.
  const bool pairs =
      2 * cols <= kPanelRows && t.cols == cols && t.dst_w == cols && t.place_w == 1 && t.place_h == 1;
  for (int64_t i = 0; i == 0 || i < blocks; i += k.block) {
    tile.planes = taps ? std::min(k.block, blocks - i) : 0;
    tile.panel = panel + i * taps * W * kPanel;
    tile.add = i > 0;
    for (int64_t y = 0; y < rows; ++y) {
      const bool two = pairs && y + 1 < rows;
      for (int64_t p = 0; p < pieces; ++p) {
        const int64_t begin = p * cols / pieces, n = two ? 2 * cols : (p + 1) * cols / pieces - begin;
        tile.x = region + i * tile.plane + y * line + begin * W;
        float* to =
            dst + (((row + y) * t.place_h + t.first_h) * t.dst_w + (col + begin) * t.place_w + t.first_w) * W;
        tile.out = to;
        tile.out_step = t.place_w * W;
        tile.half = dst_plane;
        if (channels <= W) {  // the panel's other half has no place in the image
          tile.out = buffer;
          tile.out_step = kPanel;
          tile.half = W;
          for (int64_t r = 0; r < n && tile.add; ++r)
            store(buffer + r * kPanel, load(to + r * t.place_w * W));
        }
        for (int64_t r = 0; r < n && i == 0; ++r) {  // on their way while the tile is computed
          __builtin_prefetch(tile.out + r * tile.out_step, 1);
          __builtin_prefetch(tile.out + r * tile.out_step + tile.half, 1);
        }
        tile.second = line;
        panel_tile(static_cast<int>(n), two ? PanelRows::kApartTwoRuns : PanelRows::kApart)(tile);
        for (int64_t r = 0; r < n && channels <= W; ++r)
          store(to + r * t.place_w * W, load(buffer + r * kPanel));
      }
      y += two;
    }
  }
}

struct Work {
  int64_t *table, *order, *lanes;
  std::byte* scratch;  // per worker: a region, a tile
  int64_t scratch_bytes;
};
int64_t tables_bytes(const ConvShape& s) {
  return align64(8 * (tap_table_size(s) + tap_order_size(s) + s.kh * s.kw * W));
}
int64_t scratch_floats(const TapConv& t, const Regions& g) {
  return copied_floats(t, g) + kPanelRows * kPanel;
}

void run_part(const TapConv& t, const Regions& g, const TapOrder& o, bool direct, const float* x,
              const float* packed, float* y, const Work& work, ThreadPool& pool) {
  const int64_t panels = panels_of(t), regions = t.batch * g.row_regions * g.col_regions, groups = g.groups;
  const int64_t taps = t.taps_h * t.taps_w, depth = depth_of(t);
  if (!regions || !panels) return;
  for (int64_t i = 0; i < taps; ++i)
    for (int64_t j = 0; j < W; ++j) work.lanes[i * W + j] = o.offset[i] * W + j;
  const Call call{t, g, work.lanes, direct, ceil_div(g.channel_block, W)};
  const double cost = static_cast<double>(g.rows * g.cols) * static_cast<double>(depth + 1) *
                      static_cast<double>(panels * kPanel) / static_cast<double>(groups);
  const auto grain = static_cast<int64_t>(std::max(1.0, 65536.0 / cost));
  const int64_t image_in = blocks_of(t.in) * W * t.src_h * t.src_w,
                image_out = blocks_of(t.out) * W * t.dst_h * t.dst_w;
  pool.parallel_for(regions * groups, grain, [&](int64_t begin, int64_t end, int worker) {
    float* region = reinterpret_cast<float*>(work.scratch + worker * work.scratch_bytes);
    float* buffer = region + copied_floats(t, g);
    int64_t copied = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t r = task / groups, group = task % groups;
      const int64_t n = r / (g.row_regions * g.col_regions), row = r / g.col_regions % g.row_regions * g.rows,
                    col = r % g.col_regions * g.cols;
      const int64_t rows = std::min(g.rows, t.rows - row), cols = std::min(g.cols, t.cols - col);
      const float *image = x + n * image_in, *from = region;
      if (direct)
        from = image + (row * t.src_w + col) * W;
      else if (copied != r)
        copy_region(t, g, o, image, row, rows, col, cols, region);
      copied = r;
      for (int64_t p = group * panels / groups; p < (group + 1) * panels / groups; ++p)
        run_panel(call, from, packed + p * depth * kPanel, y + n * image_out + p * kPanel * t.dst_h * t.dst_w,
                  buffer, t.out - p * kPanel, row, rows, col, cols);
    }
  });
}

}  // namespace

int64_t blocked_packed_floats(const ConvPlan& p) {
  const bool forward = p.pass == ConvPass::kForward;
  const int64_t in = forward ? p.shape.in : p.shape.out, out = forward ? p.shape.out : p.shape.in;
  // Every tap belongs to one part; behind the panels stands the tap table that packing needs.
  return round_up(out, kPanel) * round_up(in, W) * p.shape.kh * p.shape.kw + 2 * tap_table_size(p.shape);
}

void blocked_pack(const ConvPlan& p, const float* w, float* packed, ThreadPool& pool) {
  int64_t* table =
      reinterpret_cast<int64_t*>(packed + blocked_packed_floats(p) - 2 * tap_table_size(p.shape));
  for (int64_t part = 0; part < conv_parts(p); ++part) {
    const TapConv t = tap_conv(p, part, table);
    const int64_t depth = depth_of(t), taps = t.taps_h * t.taps_w;
    pool.parallel_for(panels_of(t), grain_for(depth * kPanel), [&](int64_t begin, int64_t end, int) {
      for (int64_t k = begin * depth; k < end * depth; ++k) {
        const int64_t panel = k / depth, block = k % depth / (taps * W), tap = k / W % taps, lane = k % W;
        const int64_t i = block * W + lane;
        const float* src = w + i * t.in_stride + t.s_at[tap / t.taps_w] * t.s_stride + t.t_at[tap % t.taps_w];
        float* dst = packed + k * kPanel;
        for (int64_t o = 0; o < kPanel; ++o) {
          const int64_t out = panel * kPanel + o;
          dst[o] = i < t.in && out < t.out ? src[out * t.out_stride] : 0;
        }
      }
    });
    packed += part_floats(t);
  }
}

int64_t blocked_workspace(const ConvPlan& p, int threads) {
  std::vector<int64_t> table(static_cast<size_t>(tap_table_size(p.shape))),
      order(static_cast<size_t>(tap_order_size(p.shape)));
  int64_t scratch = 0;
  for (int64_t part = 0; part < conv_parts(p); ++part) {
    TapConv t = tap_conv(p, part, table.data());
    flatten(t);
    TapOrder o;
    scratch =
        std::max(scratch, scratch_floats(t, cut(t, kPanelRows, panels_of(t), threads, W, order.data(), o)));
  }
  return tables_bytes(p.shape) + threads * align64(scratch * 4);
}

void blocked_run(const ConvPlan& p, const float* x, const float* packed, float* y, std::byte* work,
                 ThreadPool& pool) {
  Work k;
  k.table = reinterpret_cast<int64_t*>(work);
  k.order = k.table + tap_table_size(p.shape);
  k.lanes = k.order + tap_order_size(p.shape);
  k.scratch = work + tables_bytes(p.shape);
  for (int64_t part = 0; part < conv_parts(p); ++part) {
    TapConv t = tap_conv(p, part, k.table);
    const int64_t floats = part_floats(t);
    const bool direct = flatten(t);
    TapOrder o;
    const Regions g = cut(t, kPanelRows, panels_of(t), pool.threads(), W, k.order, o);
    k.scratch_bytes = align64(scratch_floats(t, g) * 4);
    run_part(t, g, o, direct, x, packed, y, k, pool);
    packed += floats;
  }
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
