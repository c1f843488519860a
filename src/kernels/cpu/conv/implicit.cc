// Implicit GEMM: the input is copied region by region into a scratch with its zeros and with the strides
// taken out, and read from there at tap offsets; weights stand in panels of 2 * W output channels.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/conv/regions.h"
#include "kernels/cpu/panel_tile.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/conv/implicit.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/conv/blocks.inc"

constexpr int64_t kPanel = 2 * W;

// Numbers 0, 2, 4, ... of two vectors.
template <size_t... I>
HOIST_INLINE F even_lanes(F a, F b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (2 * I)...);
}

// One row of a region's copy: n numbers from src[first], src[first + step], ...; zero outside [0, width).
// Rows are short: no divisions by the usual steps.
HOIST_INLINE void copy_row(const float* src, int64_t width, int64_t first, int64_t step, int64_t n,
                           float* dst) {
  auto steps = [step](int64_t d) { return step == 1 ? d : step == 2 ? (d + 1) >> 1 : ceil_div(d, step); };
  const int64_t skip = first < 0 ? std::min(n, steps(-first)) : 0;
  const int64_t end = first < width ? std::max(skip, std::min(n, steps(width - first))) : skip;
  for (int64_t i = 0; i < skip; ++i) dst[i] = 0;
  const float* from = src + first;
  if (step == 1) {
    for (int64_t i = skip; i < end; i += W) store_tail(dst + i, load_tail(from + i, end - i), end - i);
  } else if (step == 2) {
    for (int64_t i = skip; i < end; i += W) {
      const int64_t left = 2 * (end - i) - 1;  // the last vector must not read past the row
      const F a = load_tail(from + 2 * i, left),
              b = left > W ? load_tail(from + 2 * i + W, left - W) : set(0);
      store_tail(dst + i, even_lanes(a, b, std::make_index_sequence<W>()), end - i);
    }
  } else {
    for (int64_t i = skip; i < end; ++i) dst[i] = from[i * step];
  }
  for (int64_t i = end; i < n; ++i) dst[i] = 0;
}
// Channels [0, in) of the region that begins at grid (row, col); rows x cols of it are needed.
void copy_region(const TapConv& t, const Regions& g, const TapOrder& o, const float* image, int64_t row,
                 int64_t rows, int64_t col, int64_t cols, float* dst) {
  const int64_t more = g.rows + g.more_rows;
  for (int64_t i = 0; i < t.in; ++i, image += t.src_h * t.src_w, dst += g.plane)
    for (int64_t a = 0; a < g.row_slots; ++a)
      for (int64_t y = 0; y < rows + g.more_rows; ++y) {
        const int64_t src_row = (row + y) * t.step_h + o.first_row + o.row_residue[a];
        float* to = dst + (a * more + y) * g.row_length;
        for (int64_t b = 0; b < g.col_slots; ++b, to += g.col_length) {
          if (src_row < 0 || src_row >= t.src_h)
            std::fill_n(to, cols + g.more_cols, 0.0f);
          else
            copy_row(image + src_row * t.src_w, t.src_w, col * t.step_w + o.first_col + o.col_residue[b],
                     t.step_w, cols + g.more_cols, to);
        }
      }
}

int64_t panels_of(const TapConv& t) { return ceil_div(t.out, kPanel); }
int64_t part_floats(const TapConv& t) { return round_up(t.out, kPanel) * t.in * t.taps_h * t.taps_w; }

struct Work {
  int64_t *table, *order;
  std::byte* scratch;  // per worker
  int64_t scratch_bytes;
};
// Of any batch: a live one may be cut otherwise than the whole.
int64_t region_floats(const TapConv& t, const Regions& g) {
  return round_up(
      t.in * g.row_slots * g.col_slots * (g.most_rows + g.more_rows) * (g.most_cols + g.more_cols), 16);
}
int64_t scratch_floats(const TapConv& t, const Regions& g) {
  const int64_t tiles = g.most_rows * ceil_div(g.most_cols, kPanelRows);
  return region_floats(t, g) + (t.in > g.channel_block ? tiles : 1) * kPanelRows * kPanel;
}

// 2W channels of a tile's pixels to their planes. Runs of `run` pixels are `jump` apart in the image.
void write_tile(const float* tile, const TapConv& t, int64_t channels, int pixels, int run, int64_t jump,
                float* dst) {
  const int64_t plane = t.dst_h * t.dst_w;
  if (t.place_w == 1 && (run == pixels || jump == run)) {
    for (int64_t c = 0; c < channels; c += W)
      rows_to_planes(tile + c, kPanel, static_cast<int>(std::min<int64_t>(W, channels - c)), pixels,
                     dst + c * plane, plane);
    return;
  }
  for (int64_t c = 0; c < channels; ++c)
    for (int i = 0; i < pixels; ++i) {
      const int64_t at = i < run ? i * t.place_w : jump + (i - run) * t.place_w;
      dst[c * plane + at] = tile[i * kPanel + c];
    }
}

// One panel over one region.
struct RegionCall {
  const TapConv& t;
  const Regions& g;
  const TapOrder& o;
  const float *region, *panel;
  float *buffer, *dst;  // dst: the image's first plane of this panel
  int64_t channels, row, rows, col, cols;
  // What the next region will copy, to be fetched a line per tile and channel; `turn` counts tiles.
  const float* next;
  int64_t next_lines, turn;
};

template <class Each>  // each(tile index, first row, first column, pixels, runs)
void each_tile(int64_t rows, int64_t cols, Each each) {
  int64_t index = 0, row = 0;
  if (2 * cols <= kPanelRows)
    for (; row + 2 <= rows; row += 2) each(index++, row, int64_t{0}, static_cast<int>(2 * cols), 2);
  const int64_t pieces = ceil_div(cols, kPanelRows);
  for (; row < rows; ++row)
    for (int64_t i = 0; i < pieces; ++i) {
      const int64_t begin = i * cols / pieces, end = (i + 1) * cols / pieces;
      each(index++, row, begin, static_cast<int>(end - begin), 1);
    }
}

void run_region(const RegionCall& r) {
  const TapConv& t = r.t;
  const int64_t taps = t.taps_h * t.taps_w;
  for (int64_t i = 0; i == 0 || i < t.in; i += r.g.channel_block) {
    const bool first = i == 0, last = i + r.g.channel_block >= t.in;
    each_tile(r.rows, r.cols, [&](int64_t index, int64_t row, int64_t col, int pixels, int runs) {
      PanelTile tile;
      tile.x = r.region + i * r.g.plane + row * r.g.row_length + col;
      tile.plane = r.g.plane;
      tile.planes = taps ? std::min(r.g.channel_block, t.in - i) : 0;
      tile.tap = r.o.offset;
      tile.taps = taps;
      tile.panel = r.panel + i * taps * kPanel;
      tile.out = r.buffer + (first && last ? 0 : index * kPanelRows * kPanel);
      tile.out_step = kPanel;
      tile.second = r.g.row_length;
      tile.add = !first;
      const int64_t y = (r.row + row) * t.place_h + t.first_h, x = (r.col + col) * t.place_w + t.first_w;
      float* dst = r.dst + y * t.dst_w + x;
      if (last) {  // stores wait for their lines in order; these arrive while the tile is computed
        const int64_t plane = t.dst_h * t.dst_w, end = (pixels - 1) * t.place_w;
        for (int64_t c = 0; c < r.channels; ++c) {
          if (col == 0) __builtin_prefetch(dst + c * plane, 1);
          __builtin_prefetch(dst + c * plane + end, 1);
        }
      }
      const int64_t turn = r.turn + index;
      if (turn < r.next_lines) {
        tile.next = r.next + turn * 16;
        tile.next_plane = t.src_h * t.src_w;
      }
      panel_tile(pixels, runs == 2 ? PanelRows::kTwoRuns : PanelRows::kTogether)(tile);
      if (last) write_tile(tile.out, t, r.channels, pixels, pixels / runs, t.place_h * t.dst_w, dst);
    });
  }
}

void run_part(const TapConv& t, const Regions& g, const TapOrder& o, const float* x, const float* packed,
              float* y, const Work& work, ThreadPool& pool) {
  const int64_t panels = panels_of(t), regions = t.batch * g.row_regions * g.col_regions;
  const int64_t depth = t.in * t.taps_h * t.taps_w;
  if (!regions || !panels) return;
  const int64_t groups = g.groups;
  const double cost = static_cast<double>(g.rows * g.cols) * static_cast<double>(depth + 1) *
                      static_cast<double>(panels * kPanel) / static_cast<double>(groups);
  const auto grain = static_cast<int64_t>(std::max(1.0, 65536.0 / cost));
  pool.parallel_for(regions * groups, grain, [&](int64_t begin, int64_t end, int worker) {
    float* region = reinterpret_cast<float*>(work.scratch + worker * work.scratch_bytes);
    float* buffer = region + region_floats(t, g);
    int64_t copied = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t r = task / groups, group = task % groups;
      const int64_t n = r / (g.row_regions * g.col_regions), row = r / g.col_regions % g.row_regions * g.rows,
                    col = r % g.col_regions * g.cols;
      const int64_t rows = std::min(g.rows, t.rows - row), cols = std::min(g.cols, t.cols - col);
      if (copied != r) copy_region(t, g, o, x + n * t.in * t.src_h * t.src_w, row, rows, col, cols, region);
      copied = r;
      // Only where the copy is one run of each plane and the next one lies in reach.
      const float* next = nullptr;
      int64_t lines = 0;
      if (task + 1 < end && (task + 1) / groups != r && t.in <= g.channel_block && t.taps_h) {
        const int64_t q = (task + 1) / groups, first_row = q / g.col_regions % g.row_regions * g.rows;
        const int64_t from =
            std::clamp<int64_t>(first_row * t.step_h + o.first_row, 0, t.src_h - 1) * t.src_w +
            (g.row_regions == 1 ? q % g.col_regions * g.cols : 0);
        const int64_t count = t.rows == 1 ? g.cols : (g.rows * t.step_h + g.more_rows) * t.src_w;
        next = x + q / (g.row_regions * g.col_regions) * t.in * t.src_h * t.src_w + from;
        lines = ceil_div(std::min(count, t.src_h * t.src_w - from), 16);
      }
      int64_t turn = 0;
      const int64_t tiles = g.rows * ceil_div(g.cols, kPanelRows);
      for (int64_t p = group * panels / groups; p < (group + 1) * panels / groups; ++p)
        run_region({t, g, o, region, packed + p * depth * kPanel, buffer,
                    y + (n * t.out + p * kPanel) * t.dst_h * t.dst_w, std::min(kPanel, t.out - p * kPanel),
                    row, rows, col, cols, next, lines, std::exchange(turn, turn + tiles)});
    }
  });
}

// One panel of weights: [i][tap][2W], zero past the last output channel.
void pack_panel(const TapConv& t, const float* w, int64_t first, float* dst) {
  const int64_t taps = t.taps_h * t.taps_w, depth = t.in * taps, count = std::min(kPanel, t.out - first);
  if (t.in_order) {  // rows of `depth` numbers
    for (int64_t k = 0; k < depth; k += W)
      for (int64_t h = 0; h < kPanel; h += W) {
        const int64_t rows = std::clamp<int64_t>(count - h, 0, W);
        planes_to_rows(w + (first + std::min(h, count - 1)) * t.out_stride + k, t.out_stride,
                       static_cast<int>(rows), static_cast<int>(std::min<int64_t>(W, depth - k)),
                       dst + k * kPanel + h, kPanel);
      }
    return;
  }
  for (int64_t i = 0; i < t.in; ++i)
    for (int64_t s = 0; s < t.taps_h; ++s)
      for (int64_t u = 0; u < t.taps_w; ++u, dst += kPanel) {
        const float* src = w + first * t.out_stride + i * t.in_stride + t.s_at[s] * t.s_stride + t.t_at[u];
        if (t.out_stride == 1) {
          for (int64_t h = 0; h < kPanel; h += W)
            store(dst + h, load_n(src + std::min(h, count - 1),
                                  static_cast<int>(std::clamp<int64_t>(count - h, 0, W))));
        } else {
          for (int64_t o = 0; o < count; ++o) dst[o] = src[o * t.out_stride];
          for (int64_t o = count; o < kPanel; ++o) dst[o] = 0;
        }
      }
}

}  // namespace

// Every tap belongs to one part.
static int64_t panel_floats(const ConvPlan& p) {
  const int64_t channels = p.pass == ConvPass::kForward ? p.shape.out : p.shape.in;
  const int64_t depth = (p.pass == ConvPass::kForward ? p.shape.in : p.shape.out) * p.shape.kh * p.shape.kw;
  return round_up(channels, kPanel) * depth;
}
// Behind the panels there is room for the tap table that packing needs.
int64_t implicit_packed_floats(const ConvPlan& p) { return panel_floats(p) + 2 * tap_table_size(p.shape); }

int64_t implicit_workspace(const ConvPlan& p, int threads) {
  std::vector<int64_t> table(static_cast<size_t>(tap_table_size(p.shape))),
      order(static_cast<size_t>(tap_order_size(p.shape)));
  int64_t scratch = 0;
  for (int64_t part = 0; part < conv_parts(p); ++part) {
    TapConv t = tap_conv(p, part, table.data());
    flatten(t);
    TapOrder o;
    scratch =
        std::max(scratch, scratch_floats(t, cut(t, kPanelRows, panels_of(t), threads, 1, order.data(), o)));
  }
  return align64(8 * static_cast<int64_t>(table.size() + order.size())) + threads * align64(scratch * 4);
}

void implicit_pack(const ConvPlan& p, const float* w, float* packed, ThreadPool& pool) {
  int64_t* table = reinterpret_cast<int64_t*>(packed + panel_floats(p));
  for (int64_t part = 0; part < conv_parts(p); ++part) {
    TapConv t = tap_conv(p, part, table);
    const int64_t depth = t.in * t.taps_h * t.taps_w;
    pool.parallel_for(ceil_div(t.out, kPanel), grain_for(depth * kPanel),
                      [&](int64_t begin, int64_t end, int) {
                        for (int64_t i = begin; i < end; ++i)
                          pack_panel(t, w, i * kPanel, packed + i * depth * kPanel);
                      });
    packed += part_floats(t);
  }
}

void implicit_run(const ConvPlan& p, const float* x, const float* packed, float* y, std::byte* work,
                  ThreadPool& pool) {
  Work k;
  k.table = reinterpret_cast<int64_t*>(work);
  k.order = k.table + tap_table_size(p.shape);
  const int64_t tables = align64(8 * (tap_table_size(p.shape) + tap_order_size(p.shape)));
  k.scratch = work + tables;
  for (int64_t part = 0; part < conv_parts(p); ++part) {
    TapConv t = tap_conv(p, part, k.table);
    const int64_t floats = part_floats(t);
    flatten(t);
    TapOrder o;
    const Regions g = cut(t, kPanelRows, panels_of(t), pool.threads(), 1, k.order, o);
    k.scratch_bytes = align64(scratch_floats(t, g) * 4);
    run_part(t, g, o, x, packed, y, k, pool);
    packed += floats;
  }
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
