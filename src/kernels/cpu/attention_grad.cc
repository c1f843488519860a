// attention_grad: probabilities are recomputed from lse, tile by tile; nothing of size Q x K is stored.
//
// One worker does a whole (leading index, KV head). Order: dk and dv sum over tiles of queries at fixed
// multiples, first to last, each tile's rows one chain; dq sums over blocks of 64 keys, first to last. bf16
// tensors are multiplied by vdpbf16ps where the machine has it, with probabilities and their gradients
// rounded to bf16; sums are f32 throughout.
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
  return narrow_floats(v) && !a.has_bias && !a.has_sinks && v.operands[1].dtype == t &&
         v.operands[2].dtype == t && v.operands[static_cast<size_t>(slots.d_o)].dtype == t &&
         q.dims[q.rank() - 2].size <= kTileRows && attention_plan(v, plan);
}

void prepare(const ir::OpView& v, Prepared& prepared) {
  AttentionPlan plan;
  attention_plan(v, plan);
  prepared.store(plan);
}

// Floats of a worker's scratch: packed queries and keys, scores, and the sums of dq (a tile), dk and dv (all
// keys, in whole blocks).
int64_t padded_keys(int64_t keys) { return (keys + kKeyBlock - 1) / kKeyBlock * kKeyBlock; }
int64_t worker_bytes(int64_t d, int64_t dv, int64_t keys) {
  const int64_t depth = wide_columns(d), columns = wide_columns(dv);
  const int64_t panels = 2 * kTileRows * (depth + columns) + kKeyBlock * (2 * depth + columns);
  const int64_t scores = (2 * kTileRows + 4 * 16) * kKeyBlock, sums = kTileRows * depth;
  return align64(4 * (panels + scores + sums + padded_keys(keys) * (depth + columns) + std::max(d, dv) +
                      2 * kTileRows + 20 * 80));
}

int64_t workspace(const ir::OpView& v, int threads) {
  const ir::Type &k = v.operands[1], &value = v.operands[2];
  return threads * worker_bytes(k.dims.back().size, value.dims.back().size, k.dims[k.rank() - 3].size);
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/attention_grad.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/attention_product.inc"

#include "kernels/cpu/attention_tile.inc"

#include "kernels/cpu/attention_mask.inc"

// Rows of keys per register tile of dk and dv: 64 divides into them.
constexpr int kKeyRows = HOIST_ISA_IS_AVX512 ? 8 : 4;

struct Scratch {
  float *q_rows, *do_rows;             // left panels of a query tile: [row panel][word][kMr]
  float *q_columns, *do_columns;       // right panels of a query tile: [column panel][word][kNr]
  float *k_transposed, *v_transposed;  // right panels of a key block: [key panel][word][kNr]
  float* k_columns;                    // right panels of a key block: [column panel][word][kNr]
  float *p, *ds;                       // [word of rows][kKeyBlock]
  float *s, *dp, *ds_keys, *mask;      // of one row panel: [row][kKeyBlock]
  float *lse, *level;                  // of each row of the tile
  float *dq, *dk, *dv, *zeros;
  Scratch(std::byte* base, int64_t d, int64_t dv_size, int64_t keys) {
    float* at = reinterpret_cast<float*>(base);
    auto take = [&](int64_t n) {
      float* p = at;
      at += (n + 64 + 15) / 16 * 16;
      return p;
    };
    const int64_t depth = wide_columns(d), columns = wide_columns(dv_size);
    q_rows = take(kTileRows * depth);
    do_rows = take(kTileRows * columns);
    q_columns = take(kTileRows * depth);
    do_columns = take(kTileRows * columns);
    k_transposed = take(kKeyBlock * depth);
    v_transposed = take(kKeyBlock * columns);
    k_columns = take(kKeyBlock * depth);
    p = take(kTileRows * kKeyBlock);
    ds = take(kTileRows * kKeyBlock);
    s = take(16 * kKeyBlock);
    dp = take(16 * kKeyBlock);
    ds_keys = take(16 * kKeyBlock);
    mask = take(16 * kKeyBlock);
    lse = take(kTileRows);
    level = take(kTileRows);
    dq = take(kTileRows * depth);
    dk = take(padded_keys(keys) * depth);
    dv = take(padded_keys(keys) * columns);
    zeros = take(std::max(d, dv_size));
  }
};

alignas(64) constexpr float kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

template <class A, class T>
void pack_left(const T* const* rows, int count, int64_t channels, float* out) {
  const int64_t words = (channels + A::kPer - 1) / A::kPer;
  auto* dst = reinterpret_cast<typename A::Word*>(out);
  for (int r = 0; r < count; r += kMr, dst += kMr * words)
    for (int i = 0; i < std::min(kMr, count - r); i += W)
      pack_rows<A>(rows + r + i, std::min(W, count - r - i), channels, dst + i, kMr);
}
template <class A, class T>
void pack_transposed(const T* const* rows, int64_t channels, float* out) {
  const int64_t words = (channels + A::kPer - 1) / A::kPer;
  auto* dst = reinterpret_cast<typename A::Word*>(out);
  for (int n = 0; n < kKeyBlock; n += kNr)
    for (int i = 0; i < kNr; i += W) pack_rows<A>(rows + n + i, W, channels, dst + n * words + i, kNr);
}

// Queries of one leading index and KV head.
template <class A, class T>
struct Unit {
  using Word = typename A::Word;
  const KernelArgs& args;
  const AttentionCall& c;
  const ops::AttentionSlots slots;
  const int64_t l, head;
  const Visibility see;
  const Scratch s;
  const int64_t depth = wide_columns(c.d), columns = wide_columns(c.dv);

  const T* row(int operand, int64_t index, int64_t width) const {
    return args.in<T>(operand) + index * width;
  }
  static Word* words(float* p) { return reinterpret_cast<Word*>(p); }

  // A tile of queries: what does not depend on the keys.
  struct Tile {
    int64_t begin = 0;  // its first query
    int rows = 0;
    int64_t lo[kTileRows], hi[kTileRows], first, last = 0;
    int32_t top_pos = INT32_MIN, low_seg = INT32_MAX, top_seg = INT32_MIN;
  };

  void load_tile(Tile& t, int64_t begin, int64_t end) const {
    const T *q[kTileRows + 1], *d_o[kTileRows + 1];
    t.begin = begin;
    t.first = c.keys;
    for (int64_t query = begin; query < end; ++query) {
      int64_t lo, hi;
      see.range(query, &lo, &hi);
      if (lo < hi) {
        t.first = std::min(t.first, lo);
        t.last = std::max(t.last, hi);
      }
      t.top_pos = std::max(t.top_pos, see.q_pos[query]);
      if (see.q_seg) {
        t.low_seg = std::min(t.low_seg, see.q_seg[query]);
        t.top_seg = std::max(t.top_seg, see.q_seg[query]);
      }
      for (int64_t g = 0; g < c.group; ++g, ++t.rows) {
        const int64_t at = c.q_row(l, query, head, g);
        q[t.rows] = row(0, at, c.d);
        d_o[t.rows] = row(slots.d_o, at, c.dv);
        t.lo[t.rows] = lo;
        t.hi[t.rows] = hi;
        const T *o = row(slots.o, at, c.dv), *g_o = d_o[t.rows];
        float level = sum_over(
            c.dv, [&](int64_t i, int64_t left) { return load_tail(o + i, left) * load_tail(g_o + i, left); });
        if (slots.dlse >= 0) level -= args.in<float>(slots.dlse)[at];
        const float lse = args.in<float>(slots.lse)[at];
        s.level[t.rows] = level;
        s.lse[t.rows] = lse == -kInfinity ? kInfinity : lse * kLog2E;  // a row that saw nothing: p = 0
      }
    }
    q[t.rows] = d_o[t.rows] = reinterpret_cast<const T*>(s.zeros);
    const int even = (t.rows + A::kPer - 1) / A::kPer * A::kPer;
    pack_left<A>(q, t.rows, c.d, s.q_rows);
    pack_left<A>(d_o, t.rows, c.dv, s.do_rows);
    pack_columns<A>(q, even, c.d, words(s.q_columns));
    pack_columns<A>(d_o, even, c.dv, words(s.do_columns));
    std::memset(s.dq, 0, static_cast<size_t>(t.rows * depth) * sizeof(float));
  }

  void run() const {
    const int64_t tokens = std::max<int64_t>(1, kTileRows / std::max<int64_t>(1, c.group));
    std::memset(s.dk, 0, static_cast<size_t>(padded_keys(c.keys) * depth) * sizeof(float));
    std::memset(s.dv, 0, static_cast<size_t>(padded_keys(c.keys) * columns) * sizeof(float));
    BlockMask mask{see, {}, {}};
    for (int64_t query = 0; query < c.queries; query += tokens) {
      Tile t;
      load_tile(t, query, std::min(c.queries, query + tokens));
      for (int64_t first = t.first / kKeyBlock * kKeyBlock; first < t.last; first += kKeyBlock)
        if (!see.masked() || mask.load_block(first, t.top_pos, t.low_seg, t.top_seg)) block(t, first, mask);
      for (int r = 0; r < t.rows; ++r)
        write(args.out<T>(0) + c.q_row(l, query + r / c.group, head, r % c.group) * c.d, s.dq + r * depth,
              c.d);
    }
    for (int64_t key = 0; key < c.keys; ++key) {
      const int64_t at = c.k_row(l, key, head);
      write(args.out<T>(1) + at * c.d, s.dk + key * depth, c.d);
      write(args.out<T>(2) + at * c.dv, s.dv + key * columns, c.dv);
    }
  }

  static void write(T* out, const float* from, int64_t n) {
    for (int64_t j = 0; j < n; j += W) store_tail(out + j, load(from + j), n - j);
  }

  // One tile of queries and the block of keys at `first`.
  void block(const Tile& t, int64_t first, const BlockMask& mask) const {
    const T *keys[kKeyBlock], *values[kKeyBlock], *zeros = reinterpret_cast<const T*>(s.zeros);
    for (int64_t i = 0; i < kKeyBlock; ++i) {
      const bool inside = first + i < c.keys;
      keys[i] = inside ? row(1, c.k_row(l, first + i, head), c.d) : zeros;
      values[i] = inside ? row(2, c.k_row(l, first + i, head), c.dv) : zeros;
    }
    pack_transposed<A>(keys, c.d, s.k_transposed);
    pack_transposed<A>(values, c.dv, s.v_transposed);
    pack_columns<A>(keys, kKeyBlock, c.d, words(s.k_columns));
    const int64_t d_words = (c.d + A::kPer - 1) / A::kPer, v_words = (c.dv + A::kPer - 1) / A::kPer;
    int begin = t.rows, end = 0;  // rows that see something, in whole panels
    int low_key = kKeyBlock, high_key = 0;
    for (int r = 0; r < t.rows; r += kMr) {
      const int n = std::min(kMr, t.rows - r);
      int from[kMr], to[kMr], low = kKeyBlock, high = 0;
      for (int i = 0; i < n; ++i) {
        from[i] = static_cast<int>(std::clamp<int64_t>(t.lo[r + i] - first, 0, kKeyBlock));
        to[i] = static_cast<int>(std::clamp<int64_t>(t.hi[r + i] - first, 0, kKeyBlock));
        if (from[i] < to[i]) low = std::min(low, from[i]), high = std::max(high, to[i]);
      }
      bool any = low < high;
      if (any && see.masked()) {
        any = false;
        for (int i = 0; i < n; ++i) any |= mask.row(t.begin + (r + i) / c.group, s.mask + i * kKeyBlock);
      }
      if (!any) {
        if (begin < t.rows) clear(r, n);
        continue;
      }
      begin = std::min(begin, r);
      end = r + n;
      low = low / kNr * kNr;
      low_key = std::min(low_key, low);
      high_key = std::max(high_key, high);
      const auto multiply = panel_product<A>(n);
      for (int key = low; key < high; key += kNr) {
        multiply(d_words, words(s.q_rows) + r * d_words, words(s.k_transposed) + key * d_words, s.s + key,
                 kKeyBlock, nullptr);
        multiply(v_words, words(s.do_rows) + r * v_words, words(s.v_transposed) + key * v_words, s.dp + key,
                 kKeyBlock, nullptr);
      }
      probabilities(r, n, from, to);
      const auto weigh = rows_product<A>(n);
      const Word* ds = words(A::kPer == 1 ? s.ds + r * kKeyBlock : s.ds_keys) + low / A::kPer;
      for (int64_t col = 0; col < c.d; col += kNr)
        weigh((high - low + A::kPer - 1) / A::kPer, ds,
              words(s.k_columns) + col * (kKeyBlock / A::kPer) + low / A::kPer * kNr, s.dq + r * depth + col,
              depth, kOnes);
    }
    if (begin >= end) return;
    const int64_t steps = (end - begin + A::kPer - 1) / A::kPer, skip = begin / A::kPer,
                  all = (t.rows + A::kPer - 1) / A::kPer;
    for (int key = low_key / kKeyRows * kKeyRows; key < high_key; key += kKeyRows) {
      constexpr auto add = product<A, kKeyRows, 1, kKeyBlock>;
      for (int64_t col = 0; col < c.dv; col += kNr)
        add(steps, words(s.p) + skip * kKeyBlock + key, words(s.do_columns) + col * all + skip * kNr,
            s.dv + (first + key) * columns + col, columns, kOnes);
      for (int64_t col = 0; col < c.d; col += kNr)
        add(steps, words(s.ds) + skip * kKeyBlock + key, words(s.q_columns) + col * all + skip * kNr,
            s.dk + (first + key) * depth + col, depth, kOnes);
    }
  }

  // Rows [r, r + n) see nothing, but lie between rows that do.
  void clear(int r, int n) const {
    const int from = r / A::kPer, count = (n + A::kPer - 1) / A::kPer;
    for (float* x : {s.p, s.ds})
      std::memset(x + from * kKeyBlock, 0, static_cast<size_t>(count * kKeyBlock) * sizeof(float));
  }

  // P and dS of rows [r, r + n) from their scores and dP: one row at a time.
  HOIST_INLINE void probability(int r, int i, int from, int to, F* p, F* ds) const {
    const float scale = static_cast<float>(c.a.scale);
    const F shift = set(s.lse[r]), level = set(s.level[r]), k = set(scale), k2 = set(scale * kLog2E);
    const bool all = from == 0 && to == kKeyBlock && !see.masked();
#pragma GCC unroll unrolled(16)
    for (int j = 0; j < kKeyBlock / W; ++j) {
      F score = load(s.s + i * kKeyBlock + j * W), slope = k, x;
      if (c.a.softcap > 0) {
        const F t = vtanh(score * set(static_cast<float>(c.a.scale / c.a.softcap)));
        x = vexp2(fma(t, set(static_cast<float>(c.a.softcap) * kLog2E), -shift));
        slope = k * (set(1) - t * t);
      } else {
        x = vexp2(fma(score, k2, -shift));
      }
      F g = x * (load(s.dp + i * kKeyBlock + j * W) - level) * slope;
      if (!all) {
        I lane = lane_index() + seti(j * W);
        I visible = (lane >= seti(from)) & (lane < seti(to));
        if (see.masked()) visible &= load(s.mask + i * kKeyBlock + j * W) == set(0);
        x = visible ? x : set(0);
        g = visible ? g : set(0);
      }
      p[j] = x;
      ds[j] = g;
    }
  }
  void probabilities(int r, int n, const int* from, const int* to) const {
    constexpr int kVectors = kKeyBlock / W;
    if constexpr (A::kPer == 1) {
      for (int i = 0; i < n; ++i) {
        F p[kVectors], ds[kVectors];
        probability(r + i, i, from[i], to[i], p, ds);
#pragma GCC unroll unrolled(16)
        for (int j = 0; j < kVectors; ++j) {
          store(s.p + (r + i) * kKeyBlock + j * W, p[j]);
          store(s.ds + (r + i) * kKeyBlock + j * W, ds[j]);
        }
      }
    } else {
#if HOIST_ISA_IS_AVX512DOT
      // Two rows at a time: word k of dv and dk holds rows 2k and 2k + 1 of a key; that of dq, two keys of a
      // row.
      const __m512i weave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                             7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
      for (int i = 0; i < n; i += 2) {
        F p[2][kVectors], ds[2][kVectors];
        probability(r + i, i, from[i], to[i], p[0], ds[0]);
        if (i + 1 < n)
          probability(r + i + 1, i + 1, from[i + 1], to[i + 1], p[1], ds[1]);
        else
          for (int j = 0; j < kVectors; ++j) p[1][j] = ds[1][j] = set(0);
        const int at = (r + i) / 2 * kKeyBlock;
#pragma GCC unroll unrolled(4)
        for (int j = 0; j < kVectors; ++j) {
          const __m512i x = (__m512i)_mm512_cvtne2ps_pbh(p[1][j], p[0][j]);
          const __m512i y = (__m512i)_mm512_cvtne2ps_pbh(ds[1][j], ds[0][j]);
          _mm512_storeu_si512(s.p + at + j * W, _mm512_permutexvar_epi16(weave, x));
          _mm512_storeu_si512(s.ds + at + j * W, _mm512_permutexvar_epi16(weave, y));
        }
        for (int k = 0; k < 2 && i + k < n; ++k)
#pragma GCC unroll unrolled(2)
          for (int j = 0; j < kVectors; j += 2)
            _mm512_storeu_si512(s.ds_keys + (i + k) * kKeyBlock + j * W / 2,
                                (__m512i)_mm512_cvtne2ps_pbh(ds[k][j + 1], ds[k][j]));
      }
#endif
    }
  }
};

template <class A, class T>
void run_units(const KernelArgs& args, const AttentionCall& c) {
  const int64_t bytes = worker_bytes(c.d, c.dv, c.k.dims[c.plan.lead]);
  args.pool.parallel_for(c.leads * c.heads, 1, [&](int64_t begin, int64_t end, int worker) {
    const Scratch s(args.workspace + worker * bytes, c.d, c.dv, c.keys);
    std::memset(s.zeros, 0, static_cast<size_t>(std::max(c.d, c.dv)) * sizeof(float));
    for (int64_t i = begin; i < end; ++i)
      Unit<A, T>{
          args, c, ops::attention_slots(c.a, true), i / c.heads, i % c.heads, Visibility(c, i / c.heads), s}
          .run();
  });
}

void run(const KernelArgs& args) noexcept {
  const AttentionCall c(args);
  with_type(c.q.dtype, [&](auto tag) {
    using T = decltype(tag);
#if HOIST_ISA_IS_AVX512DOT
    if constexpr (std::is_same_v<T, bf16>) return run_units<Pairs, T>(args, c);
#endif
    run_units<Single, T>(args, c);
  });
}

}  // namespace

void add_attention_grad(KernelList& list) {
  static const Kernel kernel{"attention_grad", HOIST_ISA_NAME, supports, run, prepare, workspace};
  list.push_back(&kernel);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
