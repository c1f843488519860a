#include "kernels/cpu/conv/regions.h"

#include <algorithm>

namespace hoist::kernels::cpu {

namespace {

constexpr int64_t kRegionBytes = 544 << 10;  // with the panel of weights it stays in the second-level cache
constexpr int64_t kBlockDepth = 1536;        // channels x taps whose panel of weights does

// slot[i], index[i] and residue[slot] of offsets d[0..n) under a step.
int64_t sort_taps(const int64_t* d, int64_t n, int64_t step, int64_t* slot, int64_t* index, int64_t* residue,
                  int64_t* first, int64_t* more) {
  *first = n ? *std::min_element(d, d + n) : 0;
  *more = 0;
  int64_t slots = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t r = (d[i] - *first) % step;
    index[i] = (d[i] - *first) / step;
    *more = std::max(*more, index[i]);
    int64_t s = 0;
    while (s < slots && residue[s] != r) ++s;
    if (s == slots) residue[slots++] = r;
    slot[i] = s;
  }
  return slots;
}

// Regions of at most rows x cols, and groups of panels, so that the pool's chunks (threads.h: about four a
// thread) come out even. Bits do not depend on it.
void share_out(const TapConv& t, int64_t rows, int64_t cols, int64_t widest, int64_t panels, int64_t threads,
               Regions& g) {
  const int64_t unit = t.rows > 1 && 2 * t.cols <= widest ? 2 : 1;  // rows that go together
  const int64_t least_h = ceil_div(t.rows, rows), least_w = ceil_div(t.cols, cols);
  double best = 0;
  g.rows = rows, g.cols = cols, g.groups = 1;
  g.most_rows = std::min(t.rows, rows + 1), g.most_cols = cols;
  for (int64_t i = 0; i <= 16; ++i) {
    // Rows are cut further where there are several, else columns.
    const bool tall = t.rows > 1;
    const int64_t high =
        tall ? std::min(t.rows, round_up(ceil_div(t.rows, std::max<int64_t>(1, least_h) + i), unit)) : 1;
    const int64_t pieces = std::max<int64_t>(1, least_w) + (tall ? 0 : i);
    const int64_t wide = std::max<int64_t>(1, std::min(t.cols, round_up(ceil_div(t.cols, pieces), widest)));
    const int64_t regions = ceil_div(t.rows, high) * ceil_div(t.cols, wide);
    for (int64_t groups = 1; groups <= panels; groups *= 2) {
      const int64_t tasks = t.batch * regions * groups,
                    chunk = std::max<int64_t>(1, ceil_div(tasks, 4 * threads));
      const int64_t turns = threads == 1 ? tasks : ceil_div(ceil_div(tasks, chunk), threads) * chunk;
      // Cycles per channel: multiply-adds, the copy, and weights that come from the shared cache.
      const double taps = static_cast<double>(std::max<int64_t>(1, t.taps_h * t.taps_w));
      const double copy =
          0.3 * static_cast<double>(g.row_slots * (high + g.more_rows) * g.col_slots * (wide + g.more_cols));
      const double each =
          taps * static_cast<double>(ceil_div(panels, groups)) * static_cast<double>(2 * high * wide + 14);
      const double cost = static_cast<double>(turns) * (each + copy);
      if (best > 0 && cost >= best) continue;
      best = cost;
      g.rows = high, g.cols = wide, g.groups = groups;
    }
    if (tall ? high <= unit : wide <= widest) break;
  }
  g.row_regions = ceil_div(t.rows, g.rows);
  g.col_regions = ceil_div(t.cols, g.cols);
}

}  // namespace

Regions cut(const TapConv& t, int64_t widest, int64_t panels, int64_t threads, int64_t lanes, int64_t* table,
            TapOrder& order) {
  Regions g;
  order.row_slot = table;
  order.row_index = order.row_slot + t.taps_h;
  order.row_residue = order.row_index + t.taps_h;
  order.col_slot = order.row_residue + t.taps_h;
  order.col_index = order.col_slot + t.taps_w;
  order.col_residue = order.col_index + t.taps_w;
  order.offset = order.col_residue + t.taps_w;
  g.row_slots = sort_taps(t.dr, t.taps_h, t.step_h, order.row_slot, order.row_index, order.row_residue,
                          &order.first_row, &g.more_rows);
  g.col_slots = sort_taps(t.dc, t.taps_w, t.step_w, order.col_slot, order.col_index, order.col_residue,
                          &order.first_col, &g.more_cols);
  auto bytes = [&](int64_t rows, int64_t cols) {
    return 4 * round_up(t.in, lanes) * g.row_slots * g.col_slots * (rows + g.more_rows) *
           (cols + g.more_cols);
  };
  int64_t cols = std::clamp<int64_t>(t.cols, 1, 16 * widest), rows = 1;
  while (cols > widest && bytes(1, cols) > kRegionBytes)
    cols = std::max(widest, round_up(ceil_div(cols, 2), widest));
  while (rows < t.rows && bytes(rows + 1, cols) <= kRegionBytes) ++rows;
  if (t.rows > 1 && rows == 1 && 2 * t.cols <= widest) rows = 2;
  share_out(t, rows, cols, widest, panels, threads, g);
  g.col_length = g.cols + g.more_cols;
  g.row_length = g.col_slots * g.col_length;
  g.plane = g.row_slots * (g.rows + g.more_rows) * g.row_length;
  g.channel_block = std::max<int64_t>(1, kBlockDepth / std::max<int64_t>(1, t.taps_h * t.taps_w));
  for (int64_t s = 0; s < t.taps_h; ++s)
    for (int64_t u = 0; u < t.taps_w; ++u)
      order.offset[s * t.taps_w + u] =
          (order.row_slot[s] * (g.rows + g.more_rows) + order.row_index[s]) * g.row_length +
          order.col_slot[u] * g.col_length + order.col_index[u];
  return g;
}

bool flatten(TapConv& t) {
  if (t.taps_h != 1 || t.taps_w != 1 || t.step_h != 1 || t.step_w != 1 || t.dr[0] || t.dc[0] ||
      t.place_h != 1 || t.place_w != 1 || t.rows != t.src_h || t.cols != t.src_w)
    return false;
  t.src_w = t.dst_w = t.cols = t.src_h * t.src_w;
  t.src_h = t.dst_h = t.rows = 1;
  return true;
}

TapConv tap_conv(const ConvPlan& p, int64_t part, int64_t* table) {
  const ConvShape& s = p.shape;
  TapConv t{};
  int64_t *dr = table, *s_at = dr + s.kh, *dc = s_at + s.kh, *t_at = dc + s.kw;
  t.dr = dr, t.s_at = s_at, t.dc = dc, t.t_at = t_at;
  t.batch = s.batch;
  t.s_stride = s.kw;
  if (p.pass == ConvPass::kForward) {
    t.in = s.in, t.src_h = s.h, t.src_w = s.w, t.out = s.out;
    t.rows = t.dst_h = s.out_h, t.cols = t.dst_w = s.out_w;
    t.step_h = s.stride_h, t.step_w = s.stride_w;
    t.place_h = t.place_w = 1;
    t.out_stride = s.in * s.kh * s.kw, t.in_stride = s.kh * s.kw;
    t.taps_h = s.kh, t.taps_w = s.kw;
    t.in_order = true;
    for (int64_t i = 0; i < s.kh; ++i) dr[i] = i * s.dilation_h - s.pad_top, s_at[i] = i;
    for (int64_t i = 0; i < s.kw; ++i) dc[i] = i * s.dilation_w - s.pad_left, t_at[i] = i;
    return t;
  }
  t.in = s.out, t.src_h = s.out_h, t.src_w = s.out_w, t.out = s.in, t.dst_h = s.h, t.dst_w = s.w;
  t.out_stride = s.kh * s.kw, t.in_stride = s.in * s.kh * s.kw;
  t.step_h = t.step_w = 1;
  // Input h = q * stride + first is read by output q + (first + pad - tap * dilation) / stride.
  auto side = [](int64_t first, int64_t taps, int64_t stride, int64_t dilation, int64_t pad, int64_t* d,
                 int64_t* at) {
    int64_t n = 0;
    for (int64_t i = taps - 1; i >= 0; --i) {
      const int64_t shift = first + pad - i * dilation;
      if (((shift % stride) + stride) % stride) continue;
      d[n] = shift >= 0 ? shift / stride : -((-shift) / stride);
      at[n++] = i;
    }
    return n;
  };
  t.place_h = s.stride_h, t.place_w = s.stride_w;
  t.first_h = part / s.stride_w, t.first_w = part % s.stride_w;
  t.taps_h = side(t.first_h, s.kh, s.stride_h, s.dilation_h, s.pad_top, dr, s_at);
  t.taps_w = side(t.first_w, s.kw, s.stride_w, s.dilation_w, s.pad_left, dc, t_at);
  t.rows = t.first_h < s.h ? ceil_div(s.h - t.first_h, s.stride_h) : 0;
  t.cols = t.first_w < s.w ? ceil_div(s.w - t.first_w, s.stride_w) : 0;
  return t;
}

}  // namespace hoist::kernels::cpu
