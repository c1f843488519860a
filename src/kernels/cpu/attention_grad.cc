// attention_grad: probabilities are recomputed from lse, block by block; nothing of size Q x K is stored.
//
// One worker does a whole (leading index, KV head). Order: dk and dv sum over tiles of queries at fixed
// multiples, first to last; dq sums over blocks of 64 keys, first to last.
#include <cmath>
#include <limits>

#include "kernels/cpu/attention_call.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

bool supports(const ir::OpView& v) {
  AttentionPlan plan;
  const auto& a = v.attrs_as<ops::AttentionAttrs>();
  const ir::Type& q = v.operands[0];
  DType t = q.dtype;
  const auto slots = ops::attention_slots(a, true);
  return narrow_floats(v) && !a.has_bias && !a.has_sinks && a.softcap == 0 && v.operands[1].dtype == t &&
         v.operands[2].dtype == t && v.operands[static_cast<size_t>(slots.d_o)].dtype == t &&
         q.dims[q.rank() - 2].size <= 48 && attention_plan(v, plan);
}

void prepare(const ir::OpView& v, Prepared& prepared) {
  AttentionPlan plan;
  attention_plan(v, plan);
  prepared.store(plan);
}

// Floats of each piece of a worker's scratch; panels are rounded up to 32 columns.
constexpr int64_t kRows = 48, kKeys = 64;
int64_t wide(int64_t n) { return (n + 31) / 32 * 32; }
int64_t worker_bytes(int64_t d, int64_t dv, int64_t dq_rows) {
  const int64_t panels =
      2 * kRows * (wide(d) + wide(dv)) + kKeys * (2 * wide(d) + wide(dv)) + 3 * kRows * kKeys;
  const int64_t sums = kKeys * (d + dv), slack = 16 * 96 + std::max(d, dv);
  return align64(4 * (panels + sums + slack + dq_rows * d));
}

int64_t workspace(const ir::OpView& v, int threads) {
  const ir::Type& q = v.operands[0];
  const int n = q.rank() - 4;
  // 16-bit gradients of queries are summed in f32 first.
  const int64_t rows = q.dtype == DType::f32 ? 0 : q.dims[n].size * q.dims[n + 2].size;
  return threads * worker_bytes(v.operands[1].dims.back().size, v.operands[2].dims.back().size, rows);
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/attention_grad.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/gemm_tile.inc"

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Scratch {
  float *q_rows, *do_rows;             // a-panels of a query tile: [row panel][channel][kMr]
  float *q_columns, *do_columns;       // b-panels of a query tile: [channel panel][row][kNr]
  float *k_transposed, *v_transposed;  // b-panels of a key block: [key panel][channel][kNr]
  float* k_columns;                    // b-panels of a key block: [channel panel][key][kNr]
  float *s, *dp, *panel;               // [row][key], and one a-panel
  float *dk, *dv, *dq, *zeros;
  Scratch(std::byte* base, int64_t d, int64_t dv_size) {
    float* at = reinterpret_cast<float*>(base);
    auto take = [&](int64_t n) {
      float* p = at;
      at += (n + 64 + 15) / 16 * 16;
      return p;
    };
    q_rows = take(kRows * wide(d));
    do_rows = take(kRows * wide(dv_size));
    q_columns = take(kRows * wide(d));
    do_columns = take(kRows * wide(dv_size));
    k_transposed = take(kKeys * wide(d));
    v_transposed = take(kKeys * wide(dv_size));
    k_columns = take(kKeys * wide(d));
    s = take(kRows * kKeys);
    dp = take(kRows * kKeys);
    panel = take(kRows * kKeys);
    dk = take(kKeys * d);
    dv = take(kKeys * dv_size);
    zeros = take(std::max(d, dv_size));
    dq = at;
  }
};

// [row panel][channel][kMr]
template <class T>
void pack_a(const T* const* rows, int count, int64_t channels, float* dst) {
  for (int r = 0; r < count; r += kMr)
    pack_rows(rows + r, std::min(kMr, count - r), channels, dst + r * channels, kMr);
}
// [key panel][channel][kNr]
template <class T>
void pack_transposed(const T* const* rows, int64_t channels, float* dst) {
  for (int n = 0; n < kKeys; n += kNr)
    for (int i = 0; i < kNr; i += W) pack_rows(rows + n + i, W, channels, dst + n * channels + i, kNr);
}
// [channel panel][row][kNr]
template <class T>
void pack_b(const T* const* rows, int count, int64_t channels, float* dst) {
  for (int64_t n = 0; n < channels; n += kNr)
    for (int r = 0; r < count; ++r, dst += kNr)
      for (int i = 0; i < kNr; i += W) {
        int64_t left = channels - n - i;
        store(dst + i, left > 0 ? load_tail(rows[r] + n + i, left) : set(0));
      }
}

// c[rows][columns] (+)= a-panels x b-panels over `depth`; row r of c at c(r).
template <class Row>
void multiply(const float* a, const float* b, int rows, int64_t columns, int64_t depth, bool add, Row row) {
  for (int r = 0; r < rows; r += kMr) {
    int n = std::min(kMr, rows - r);
    for (int64_t col = 0; col < columns; col += kNr) {
      float* c[kMr];
      for (int i = 0; i < n; ++i) c[i] = row(r + i) + col;
      const int width = static_cast<int>(std::min<int64_t>(kNr, columns - col));
      tile_for(n, width)(depth, a + r * depth, b + col * depth, c, add, width);
    }
  }
}

// keys x channels += transpose of m [rows][64] x b-panels.
void multiply_transposed(const float* m, const float* b, int rows, int64_t channels, const Scratch& s,
                         float* sums) {
  for (int key = 0; key < kKeys; key += kMr) {
    int n = static_cast<int>(std::min<int64_t>(kMr, kKeys - key));
    pack_columns(m + key, kKeys, rows, n, kMr, s.panel, kMr);
    for (int64_t col = 0; col < channels; col += kNr) {
      float* c[kMr];
      for (int i = 0; i < n; ++i) c[i] = sums + (key + i) * channels + col;
      const int width = static_cast<int>(std::min<int64_t>(kNr, channels - col));
      tile_for(n, width)(rows, s.panel, b + col * rows, c, true, width);
    }
  }
}

template <class T>
struct Unit {
  const KernelArgs& args;
  const AttentionCall& c;
  const ops::AttentionSlots slots;
  const int64_t l, head;
  const Visibility see;
  const Scratch s;

  const T* row(int operand, int64_t index, int64_t width) const {
    return args.in<T>(operand) + index * width;
  }

  float* dq_row(int64_t query, int64_t g) const {
    if constexpr (sizeof(T) == 4)
      return args.out<float>(0) + c.q_row(l, query, head, g) * c.d;
    else
      return s.dq + (query * c.group + g) * c.d;
  }

  // P and dS of one tile of queries and one block of keys, in s.s and s.dp.
  void probabilities(int64_t query0, int rows, int64_t first) const {
    const float scale = static_cast<float>(c.a.scale);
    alignas(64) float mask[kKeys];
    for (int r = 0; r < rows; ++r) {
      const int64_t query = query0 + r / c.group, q_row = c.q_row(l, query, head, r % c.group);
      int64_t lo, hi;
      see.range(query, &lo, &hi);
      const int a = static_cast<int>(std::clamp<int64_t>(lo - first, 0, kKeys));
      const int b = static_cast<int>(std::clamp<int64_t>(hi - first, 0, kKeys));
      if (see.masked()) see.mask(query, first, mask);
      const float lse = args.in<float>(slots.lse)[q_row];
      const T *o = row(slots.o, q_row, c.dv), *d_o = row(slots.d_o, q_row, c.dv);
      float level = sum_over(
          c.dv, [&](int64_t i, int64_t left) { return load_tail(o + i, left) * load_tail(d_o + i, left); });
      if (slots.dlse >= 0) level -= args.in<float>(slots.dlse)[q_row];
      float *p = s.s + r * kKeys, *dp = s.dp + r * kKeys;
      const F shift = set(lse == -kInfinity ? kInfinity : lse), base = set(level), k = set(scale);
      for (int i = 0; i < kKeys; i += W) {
        I lane = lane_index() + seti(i);
        F x = vexp(fma(load(p + i), k, -shift));
        if (see.masked()) x = load(mask + i) == set(0) ? x : set(0);
        x = ((lane >= seti(a)) & (lane < seti(b))) ? x : set(0);
        store(p + i, x);
        store(dp + i, x * (load(dp + i) - base) * k);
      }
    }
  }

  void run() const {
    const int64_t tokens = std::max<int64_t>(1, kRows / std::max<int64_t>(1, c.group));
    for (int64_t query = 0; query < c.queries; ++query)
      for (int64_t g = 0; g < c.group; ++g)
        std::memset(dq_row(query, g), 0, static_cast<size_t>(c.d) * sizeof(float));
    const T* zeros = reinterpret_cast<const T*>(s.zeros);
    for (int64_t first = 0; first < c.keys; first += kKeys) {
      const T *keys[kKeys], *values[kKeys];
      const int64_t count = std::min(kKeys, c.keys - first);
      for (int64_t i = 0; i < kKeys; ++i) {
        keys[i] = i < count ? row(1, c.k_row(l, first + i, head), c.d) : zeros;
        values[i] = i < count ? row(2, c.k_row(l, first + i, head), c.dv) : zeros;
      }
      pack_transposed(keys, c.d, s.k_transposed);
      pack_transposed(values, c.dv, s.v_transposed);
      pack_b(keys, static_cast<int>(kKeys), c.d, s.k_columns);
      std::memset(s.dk, 0, static_cast<size_t>(kKeys * c.d) * sizeof(float));
      std::memset(s.dv, 0, static_cast<size_t>(kKeys * c.dv) * sizeof(float));
      for (int64_t query = 0; query < c.queries; query += tokens)
        tile(query, std::min(c.queries, query + tokens), first);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = c.k_row(l, first + i, head);
        for (int64_t j = 0; j < c.d; j += W)
          store_tail(args.out<T>(1) + at * c.d + j, load_tail(s.dk + i * c.d + j, c.d - j), c.d - j);
        for (int64_t j = 0; j < c.dv; j += W)
          store_tail(args.out<T>(2) + at * c.dv + j, load_tail(s.dv + i * c.dv + j, c.dv - j), c.dv - j);
      }
    }
    if constexpr (sizeof(T) == 2)
      for (int64_t query = 0; query < c.queries; ++query)
        for (int64_t g = 0; g < c.group; ++g) {
          T* out = args.out<T>(0) + c.q_row(l, query, head, g) * c.d;
          const float* x = dq_row(query, g);
          for (int64_t j = 0; j < c.d; j += W) store_tail(out + j, load_tail(x + j, c.d - j), c.d - j);
        }
  }

  // Queries [begin, end) and the key block at `first`.
  void tile(int64_t begin, int64_t end, int64_t first) const {
    bool any = false;
    for (int64_t query = begin; query < end && !any; ++query) {
      int64_t lo, hi;
      see.range(query, &lo, &hi);
      any = std::max(lo, first) < std::min(hi, first + kKeys);
    }
    if (!any) return;
    const T *q[kRows], *d_o[kRows];
    float* dq[kRows];
    int rows = 0;
    for (int64_t query = begin; query < end; ++query)
      for (int64_t g = 0; g < c.group; ++g, ++rows) {
        q[rows] = row(0, c.q_row(l, query, head, g), c.d);
        d_o[rows] = row(slots.d_o, c.q_row(l, query, head, g), c.dv);
        dq[rows] = dq_row(query, g);
      }
    pack_a(q, rows, c.d, s.q_rows);
    pack_a(d_o, rows, c.dv, s.do_rows);
    pack_b(q, rows, c.d, s.q_columns);
    pack_b(d_o, rows, c.dv, s.do_columns);
    multiply(s.q_rows, s.k_transposed, rows, kKeys, c.d, false, [&](int r) { return s.s + r * kKeys; });
    multiply(s.do_rows, s.v_transposed, rows, kKeys, c.dv, false, [&](int r) { return s.dp + r * kKeys; });
    probabilities(begin, rows, first);
    multiply_transposed(s.s, s.do_columns, rows, c.dv, s, s.dv);
    multiply_transposed(s.dp, s.q_columns, rows, c.d, s, s.dk);
    const float* ds[kRows];
    for (int r = 0; r < rows; ++r) ds[r] = s.dp + r * kKeys;
    pack_a(ds, rows, kKeys, s.panel);
    multiply(s.panel, s.k_columns, rows, c.d, kKeys, true, [&](int r) { return dq[r]; });
  }
};

void run(const KernelArgs& args) noexcept {
  const AttentionCall c(args);
  const int64_t rows = c.q.dtype == DType::f32 ? 0 : c.queries * c.group,
                bytes = worker_bytes(c.d, c.dv, rows);
  with_type(c.q.dtype, [&](auto tag) {
    args.pool.parallel_for(c.leads * c.heads, 1, [&](int64_t begin, int64_t end, int worker) {
      const Scratch s(args.workspace + worker * bytes, c.d, c.dv);
      std::memset(s.zeros, 0, static_cast<size_t>(std::max(c.d, c.dv)) * sizeof(float));
      for (int64_t i = begin; i < end; ++i)
        Unit<decltype(tag)>{
            args, c, ops::attention_slots(c.a, true), i / c.heads, i % c.heads, Visibility(c, i / c.heads), s}
            .run();
    });
  });
}

}  // namespace

void add_attention_grad(KernelList& list) {
  static const Kernel kernel{"attention_grad", HOIST_ISA_NAME, supports, run, prepare, workspace};
  list.push_back(&kernel);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
