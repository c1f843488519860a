// lstm and its gradient in f32. The input's product is one GEMM over all steps; each step then adds the
// product with the recurrent weights, packed once, and the cell's arithmetic while the sums are in cache.
// Gates of W hidden units stand side by side (i f, g o): two panels of 2W columns.
#include "ops/lstm.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/panel_tile.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

struct LstmSizes {
  int64_t seq, batch, in, hidden;
  explicit LstmSizes(const ir::OpView& v)
      : seq(v.operands[0].dims[0].size),
        batch(v.operands[0].dims[1].size),
        in(v.operands[0].dims[2].size),
        hidden(v.operands[1].dims[1].size) {}
  explicit LstmSizes(const KernelArgs& args)
      : seq(args.operands[0].dims[0]),
        batch(args.operands[0].dims[1]),
        in(args.operands[0].dims[2]),
        hidden(args.operands[1].dims[1]) {}
  int64_t rows() const { return seq * batch; }
  int64_t gates() const { return 4 * hidden; }
};

bool lstm_supports(const ir::OpView& v) {
  for (const ir::Type& t : v.operands)
    if (t.dtype != DType::f32 || !t.format.empty()) return false;
  return true;
}

// c[m, n] = sum over k of a b, all f32; strides per index.
struct Matrix {
  const float* data;
  int64_t outer, inner;
};
Gemm product(int64_t m, int64_t n, int64_t k, Matrix a, Matrix b, float* c) {
  Gemm g;
  g.m.add(m, a.outer, 0, n);
  g.n.add(n, 0, b.outer, 1);
  g.k.add(k, a.inner, b.inner, 0);
  g.a = reinterpret_cast<const std::byte*>(a.data);
  g.b = reinterpret_cast<const std::byte*>(b.data);
  g.c = reinterpret_cast<std::byte*>(c);
  return g;
}
int64_t lstm_gemm_workspace(const LstmSizes& s, int threads) {
  int64_t most = 0;
  for (int64_t width : {s.in, s.hidden}) {
    most = std::max(most, gemm_workspace(s.rows(), s.gates(), width, threads));
    most = std::max(most, gemm_workspace(s.rows(), width, s.gates(), threads));
    most = std::max(most, gemm_workspace(s.gates(), width, s.rows(), threads));
  }
  return align64(most);
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/lstm.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/row_blocks.inc"

constexpr int64_t kPanel = 2 * W;

int64_t up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
int64_t blocks_of(const LstmSizes& s) { return (s.hidden + W - 1) / W; }

// Rows of a step as the register tile reads them, W columns at a time: [columns / W][batch][W], zero past
// the last column.
void block_rows(const float* rows, int64_t batch, int64_t columns, float* dst) {
  for (int64_t j = 0; j < columns; j += W)
    for (int64_t b = 0; b < batch; ++b, dst += W) store(dst, load_tail(rows + b * columns + j, columns - j));
}

// out[r][0 .. 2W) (+)= blocked rows [first, first + n) times a panel of `depth` (a multiple of W).
void multiply_rows(const float* blocked, int64_t batch, int64_t first, int64_t n, int64_t depth,
                   const float* panel, float* out, int64_t out_step, bool add) {
  static constexpr auto kLanes = [] {
    struct Taps {
      int64_t at[W];
    } t{};
    for (int i = 0; i < W; ++i) t.at[i] = i;
    return t;
  }();
  PanelTile t;
  t.x = blocked + first * W;
  t.plane = batch * W;
  t.planes = depth / W;
  t.tap = kLanes.at;
  t.taps = W;
  t.panel = panel;
  t.out = out;
  t.out_step = out_step;
  t.add = add;
  panel_tile(static_cast<int>(n), PanelRows::kApart)(t);
}

// ---- forward ----

int64_t forward_workspace(const ir::OpView& v, int threads) {
  const LstmSizes s(v);
  const int64_t depth = up(s.hidden, W);
  return lstm_gemm_workspace(s, threads) + 4 * (4 * depth * depth + 2 * s.batch * depth) +
         threads * 4 * kPanelRows * 2 * kPanel;
}

// u [4, hidden, past] -> [hidden / W][past up to W][i f | past ... g o]: two panels per block of hidden
// units.
void pack_forward(const LstmSizes& s, const float* u, float* packed, ThreadPool& pool) {
  const int64_t depth = up(s.hidden, W);
  pool.parallel_for(blocks_of(s), grain_for(4 * W * depth), [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; ++j)
      for (int64_t pair = 0; pair < 2; ++pair)
        for (int64_t half = 0; half < 2; ++half) {
          float* dst = packed + (2 * j + pair) * depth * kPanel + half * W;
          const float* src = u + ((2 * pair + half) * s.hidden + j * W) * s.hidden;
          const int64_t units = std::min<int64_t>(W, s.hidden - j * W);
          for (int64_t k = 0; k < depth; k += W) {
            I v[W];
            for (int i = 0; i < W; ++i)
              v[i] = i < units && k < s.hidden ? (I)load_tail(src + i * s.hidden + k, s.hidden - k) : seti(0);
            transpose(v);
            for (int i = 0; i < W; ++i) store(dst + (k + i) * kPanel, (F)v[i]);
          }
        }
  });
}

void forward(const KernelArgs& args) noexcept {
  const LstmSizes s(args);
  if (s.batch == 0 || s.hidden == 0) return;
  const float *x = args.in<float>(0), *w = args.in<float>(1), *bias = args.in<float>(3),
              *state = args.in<float>(4);
  float *h = args.out<float>(0), *last = args.out<float>(1), *c = args.out<float>(2),
        *gates = args.out<float>(3);
  const int64_t depth = up(s.hidden, W), step_floats = s.batch * s.hidden;
  // z of the input goes where the gates will stand.
  gemm(product(s.rows(), s.gates(), s.in, {x, s.in, 1}, {w, s.in, 1}, gates), args.workspace, args.pool);
  float* packed = reinterpret_cast<float*>(args.workspace + lstm_gemm_workspace(s, args.pool.threads()));
  float* past = packed + 4 * depth * depth;  // blocked h, of this step and the next in turns
  float* sums = past + 2 * s.batch * depth;
  pack_forward(s, args.in<float>(2), packed, args.pool);
  block_rows(state, s.batch, s.hidden, past);
  const int64_t pieces = (s.batch + kPanelRows - 1) / kPanelRows;
  for (int64_t t = 0; t < s.seq; ++t) {
    const float* from = past + (t & 1) * s.batch * depth;
    float* to = past + (~t & 1) * s.batch * depth;
    const float* c_before = t ? c + (t - 1) * step_floats : state + step_floats;
    args.pool.parallel_for(
        blocks_of(s), grain_for(s.batch * depth), [&](int64_t begin, int64_t end, int worker) {
          float* z = sums + worker * kPanelRows * 2 * kPanel;
          for (int64_t j = begin; j < end; ++j) {
            const int64_t at = j * W, left = s.hidden - at;
            for (int64_t p = 0; p < pieces; ++p) {
              const int64_t first = p * s.batch / pieces, n = (p + 1) * s.batch / pieces - first;
              for (int64_t pair = 0; pair < 2; ++pair)
                multiply_rows(from, s.batch, first, n, depth, packed + (2 * j + pair) * depth * kPanel,
                              z + pair * kPanel, 2 * kPanel, false);
              for (int64_t r = 0; r < n; ++r) {
                const int64_t row = t * s.batch + first + r, unit = (first + r) * s.hidden + at;
                float* g = gates + row * s.gates() + at;
                auto sum_of = [&](int64_t k) {
                  return load(z + r * 2 * kPanel + k * W) +
                         (load_tail(g + k * s.hidden, left) + load_tail(bias + k * s.hidden + at, left));
                };
                const F i = vsigmoid(sum_of(0)), f = vsigmoid(sum_of(1)), u = vtanh(sum_of(2)),
                        o = vsigmoid(sum_of(3));
                const F cell = fma(f, load_tail(c_before + unit, left), i * u), out = o * vtanh(cell);
                store_tail(g, i, left);
                store_tail(g + s.hidden, f, left);
                store_tail(g + 2 * s.hidden, u, left);
                store_tail(g + 3 * s.hidden, o, left);
                store_tail(c + t * step_floats + unit, cell, left);
                store_tail(h + t * step_floats + unit, out, left);
                store(to + (j * s.batch + first + r) * W,
                      left < W ? keep_n(out, static_cast<int>(left)) : out);
              }
            }
          }
        });
  }
  const int64_t end = (s.seq - 1) * step_floats;
  std::memcpy(last, h + end, static_cast<size_t>(step_floats) * 4);
  std::memcpy(last + step_floats, c + end, static_cast<size_t>(step_floats) * 4);
}

// ---- gradient ----

// dz [seq, batch, 4, hidden]; h before each step; blocked dz of two steps; packed u; dc; tiles.
struct GradWork {
  int64_t dz, before, blocked, packed, carry, tiles, sums;
  GradWork(const LstmSizes& s, int threads) {
    dz = up(s.rows() * s.gates(), 16);
    before = up(s.rows() * s.hidden, 16);
    blocked = 2 * s.batch * up(s.gates(), W);
    packed = up(s.hidden, kPanel) * up(s.gates(), W);
    carry = up(s.batch * up(s.hidden, kPanel), 16);
    tiles = threads * kPanelRows * kPanel;
    sums = row_blocks(s.rows()) * s.gates();
  }
  int64_t floats() const { return dz + before + blocked + packed + carry + tiles + sums; }
};
int64_t grad_workspace(const ir::OpView& v, int threads) {
  const LstmSizes s(v);
  return lstm_gemm_workspace(s, threads) + 4 * GradWork(s, threads).floats();
}

void grad(const KernelArgs& args) noexcept {
  const LstmSizes s(args);
  const auto& a = args.attrs.as<ops::LstmGradAttrs>();
  if (s.batch == 0 || s.hidden == 0) return;
  const float *x = args.in<float>(0), *w = args.in<float>(1), *u = args.in<float>(2),
              *state = args.in<float>(3), *h = args.in<float>(4), *c = args.in<float>(5),
              *gates = args.in<float>(6), *dh = args.in<float>(7), *dstate = args.in<float>(8);
  const float* dc_more = a.has_dc ? args.in<float>(9) : nullptr;
  const float* dgates = a.has_dgates ? args.in<float>(9 + a.has_dc) : nullptr;
  const GradWork sizes(s, args.pool.threads());
  const int64_t depth = up(s.gates(), W), step_floats = s.batch * s.hidden,
                panels = (s.hidden + kPanel - 1) / kPanel;
  float* dz = reinterpret_cast<float*>(args.workspace + lstm_gemm_workspace(s, args.pool.threads()));
  float *before = dz + sizes.dz, *blocked = before + sizes.before, *packed = blocked + sizes.blocked,
        *carry = packed + sizes.packed, *tiles = carry + sizes.carry, *sums = tiles + sizes.tiles;
  float* dstate0 = args.out<float>(4);
  // u [4, hidden, past] as it lies: gates are the depth, `past` the columns.
  args.pool.parallel_for(panels, grain_for(depth * kPanel), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p)
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t i = 0; i < kPanel; i += W) {
          const int64_t at = p * kPanel + i, left = s.hidden - at;
          store(packed + (p * depth + k) * kPanel + i,
                k < s.gates() && left > 0 ? load_tail(u + k * s.hidden + at, left) : set(0));
        }
  });
  std::memset(blocked, 0, static_cast<size_t>(sizes.blocked) * 4);
  std::memcpy(carry, dstate + step_floats, static_cast<size_t>(step_floats) * 4);  // dc
  const int64_t pieces = (s.batch + kPanelRows - 1) / kPanelRows;
  // Step t: what came back through u from step t + 1 (at first dstate), then the cell's own derivatives.
  for (int64_t t = s.seq - 1; t >= -1; --t) {
    const float* from = blocked + (t & 1 ? 0 : 1) * s.batch * depth;  // dz of step t + 1
    float* to = blocked + (t & 1 ? 1 : 0) * s.batch * depth;
    args.pool.parallel_for(panels, grain_for(s.batch * depth), [&](int64_t begin, int64_t end, int worker) {
      float* back = tiles + worker * kPanelRows * kPanel;
      for (int64_t p = begin; p < end; ++p)
        for (int64_t piece = 0; piece < pieces; ++piece) {
          const int64_t first = piece * s.batch / pieces, n = (piece + 1) * s.batch / pieces - first;
          if (t < s.seq - 1)
            multiply_rows(from, s.batch, first, n, depth, packed + p * depth * kPanel, back, kPanel, false);
          for (int64_t r = 0; r < n; ++r)
            for (int64_t i = 0; i < kPanel && p * kPanel + i < s.hidden; i += W) {
              const int64_t at = p * kPanel + i, left = s.hidden - at, unit = (first + r) * s.hidden + at;
              F d = t < s.seq - 1 ? load(back + r * kPanel + i) : load_tail(dstate + unit, left);
              if (t < 0) {
                store_tail(dstate0 + unit, d, left);
                continue;
              }
              const int64_t all = t * step_floats + unit, row = t * s.batch + first + r;
              d += load_tail(dh + all, left);
              const float* g = gates + row * s.gates() + at;
              const F in = load_tail(g, left), f = load_tail(g + s.hidden, left),
                      m = load_tail(g + 2 * s.hidden, left), o = load_tail(g + 3 * s.hidden, left),
                      tanh_c = vtanh(load_tail(c + all, left)), one = set(1);
              F dc = load_tail(carry + unit, left) + d * o * (one - tanh_c * tanh_c);
              if (dc_more) dc += load_tail(dc_more + all, left);
              const F c_before =
                  t ? load_tail(c + all - step_floats, left) : load_tail(state + step_floats + unit, left);
              F da[4] = {dc * m, dc * c_before, dc * in, d * tanh_c};
              if (dgates)
                for (int64_t k = 0; k < 4; ++k)
                  da[k] += load_tail(dgates + row * s.gates() + k * s.hidden + at, left);
              const F slopes[4] = {in * (one - in), f * (one - f), one - m * m, o * (one - o)};
              for (int64_t k = 0; k < 4; ++k)
                store_tail(dz + row * s.gates() + k * s.hidden + at, da[k] * slopes[k], left);
              store_tail(carry + unit, dc * f, left);
            }
        }
    });
    if (t >= 0)  // a row of gates lies across blocks of hidden units, so blocking waits for all of them
      args.pool.parallel_for(depth / W, grain_for(s.batch * W), [&](int64_t begin, int64_t end, int) {
        for (int64_t j = begin; j < end; ++j)
          for (int64_t b = 0; b < s.batch; ++b)
            store(to + (j * s.batch + b) * W,
                  load_tail(dz + (t * s.batch + b) * s.gates() + j * W, s.gates() - j * W));
      });
  }
  std::memcpy(dstate0 + step_floats, carry, static_cast<size_t>(step_floats) * 4);
  std::memcpy(before, state, static_cast<size_t>(step_floats) * 4);
  std::memcpy(before + step_floats, h, static_cast<size_t>((s.seq - 1) * step_floats) * 4);
  gemm(product(s.rows(), s.in, s.gates(), {dz, s.gates(), 1}, {w, 1, s.in}, args.out<float>(0)),
       args.workspace, args.pool);
  gemm(product(s.gates(), s.in, s.rows(), {dz, 1, s.gates()}, {x, 1, s.in}, args.out<float>(1)),
       args.workspace, args.pool);
  gemm(product(s.gates(), s.hidden, s.rows(), {dz, 1, s.gates()}, {before, 1, s.hidden}, args.out<float>(2)),
       args.workspace, args.pool);
  for_row_blocks(args.pool, s.rows(), s.gates(), sums, s.gates(), [&](int64_t i, float* total) {
    for (int64_t j = 0; j < s.gates(); j += W)
      store_tail(total + j,
                 load_tail(total + j, s.gates() - j) + load_tail(dz + i * s.gates() + j, s.gates() - j),
                 s.gates() - j);
  });
  add_row_blocks(args.pool, s.rows(), s.gates(), sums, s.gates(), args.out<float>(3));
}

}  // namespace

void add_lstm(KernelList& list) {
  static const Kernel kernels[] = {
      {"lstm", HOIST_ISA_NAME, lstm_supports, forward, nullptr, forward_workspace},
      {"lstm_grad", HOIST_ISA_NAME, lstm_supports, grad, nullptr, grad_workspace}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
