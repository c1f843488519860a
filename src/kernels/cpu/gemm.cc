#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/gemm.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/gemm_tile.inc"

constexpr int64_t kMBlock = 32 * 12;  // rows of a packed at once: stays in the second-level cache
constexpr int64_t kNBlock = 512;
constexpr int64_t kFewRows = 4;  // up to here b is read once, straight from memory

enum { A = AxisGroup::kA, B = AxisGroup::kB, C = AxisGroup::kC };

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One worker's scratch.
struct Scratch {
  float* a;  // [kMBlock / kMr panels][k][kMr]
  float* b;  // [k][kNr]
  float* c;  // [kMBlock][kNBlock], for results that are not written directly
};

Scratch scratch_of(std::byte* workspace, int worker, int64_t bytes) {
  float* p = reinterpret_cast<float*>(workspace + worker * bytes);
  float* b = p + (kMBlock + kMr) * kKBlock + 64;
  return {p, b, b + kNr * kKBlock + 64};
}

// Packs `count` rows of a tensor (m of a, or n of b) from index `first`, for k in [k0, k0 + kc).
void pack_panel(DType type, const std::byte* data, const AxisGroup& rows, const AxisGroup& k, int tensor,
                int64_t first, int count, int64_t k0, int64_t kc, int width, float* dst) {
  with_type(type, [&](auto tag) {
    using T = decltype(tag);
    const T* src = reinterpret_cast<const T*>(data);
    if (rows.contiguous(tensor) && k.count <= 1) {
      int64_t stride = k.count ? k.stride[0][tensor] : 0;
      pack_columns(src + first + k0 * stride, stride, kc, count, width, dst, width);
      return;
    }
    int64_t row[kNr > kMr ? kNr : kMr];
    rows.offsets(tensor, first, count, row);
    if (k.contiguous(tensor)) {
      for (int i = 0; i < width; i += W) {
        const T* at[W];
        int n = std::clamp(count - i, 0, W);
        for (int j = 0; j < n; ++j) at[j] = src + row[i + j] + k0;
        if (n > 0) pack_rows(at, n, kc, dst + i, width);
      }
      return;
    }
    int64_t column[kKBlock];
    k.offsets(tensor, k0, kc, column);
    pack_gather(src, row, count, width, column, kc, dst, width);
  });
}

// Asks for one of `slices` parts of the memory that packing columns [first, first + kNr) of b will read.
void prefetch_panel(const Gemm& g, int64_t first, int64_t n1, int64_t k0, int64_t kc, int64_t slice,
                    int64_t slices) {
  const int64_t size = dtype_size(g.b_type), count = std::min<int64_t>(kNr, n1 - first);
  if (count <= 0 || g.n.count > 1 || g.k.count > 1) return;
  const bool by_k = g.k.contiguous(B);
  if (!by_k && !g.n.contiguous(B)) return;
  // Lines run along the contiguous axis, one row after another along the other.
  const AxisGroup& across = by_k ? g.n : g.k;
  const int64_t rows = by_k ? count : kc, row_bytes = (by_k ? kc : count) * size;
  const int64_t stride = across.count ? across.stride[0][B] * size : 0;
  const std::byte* base = g.b + (by_k ? first * stride + k0 * size : k0 * stride + first * size);
  const int64_t step = ceil_div(rows, slices);
  for (int64_t r = slice * step; r < std::min(rows, (slice + 1) * step); ++r)
    for (int64_t i = 0; i < row_bytes; i += 64) __builtin_prefetch(base + r * stride + i, 0, 2);
}

// n values of one row of c, at columns [first, first + n).
void write_row(const Gemm& g, int64_t base, int64_t first, int64_t n, const float* x) {
  with_type(g.c_type, [&](auto tag) {
    using T = decltype(tag);
    T* c = reinterpret_cast<T*>(g.c) + base;
    if (g.n.contiguous(C)) {
      for (int64_t i = 0; i < n; i += W) store_tail(c + first + i, load_tail(x + i, n - i), n - i);
      return;
    }
    int64_t at[64];
    for (int64_t i = 0; i < n; i += 64) {
      int64_t count = std::min<int64_t>(64, n - i);
      g.n.offsets(C, first + i, count, at);
      for (int64_t j = 0; j < count; ++j) store_n(c + at[j], set(x[i + j]), 1);
    }
  });
}

// The block [m0, m1) x [n0, n1) of one batch entry.
void run_block(const Gemm& g, int64_t m0, int64_t m1, int64_t n0, int64_t n1, const Scratch& s) {
  const int64_t k = g.k.total();
  // Rows of c lie far apart: visiting them once per k block costs more than a buffer.
  const bool direct = g.c_type == DType::f32 && g.n.contiguous(C) && k <= kKBlock;
  const int64_t width = ceil_div(n1 - n0, kNr) * kNr;  // row length of s.c
  for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += kKBlock) {
    int64_t kc = std::min(kKBlock, k - k0);
    for (int64_t m = m0; m < m1; m += kMr)
      pack_panel(g.a_type, g.a, g.m, g.k, A, m, static_cast<int>(std::min<int64_t>(kMr, m1 - m)), k0, kc, kMr,
                 s.a + (m - m0) * kKBlock);
    for (int64_t n = n0; n < n1; n += kNr) {
      int columns = static_cast<int>(std::min<int64_t>(kNr, n1 - n));
      pack_panel(g.b_type, g.b, g.n, g.k, B, n, columns, k0, kc, kNr, s.b);
      const int64_t slices = ceil_div(m1 - m0, kMr);
      for (int64_t m = m0; m < m1; m += kMr) {
        int rows = static_cast<int>(std::min<int64_t>(kMr, m1 - m));
        prefetch_panel(g, n + kNr, n1, k0, kc, (m - m0) / kMr, slices);
        float* c[kMr];
        if (direct) {
          int64_t at[kMr];
          g.m.offsets(C, m, rows, at);
          for (int r = 0; r < rows; ++r) c[r] = reinterpret_cast<float*>(g.c) + at[r] + n;
        } else {
          for (int r = 0; r < rows; ++r) c[r] = s.c + (m - m0 + r) * width + (n - n0);
        }
        tile_for(rows, columns)(kc, s.a + (m - m0) * kKBlock, s.b, c, k0 > 0, columns);
      }
    }
  }
  if (direct) return;
  for (int64_t m = m0; m < m1; ++m) write_row(g, g.m.offset(C, m), n0, n1 - n0, s.c + (m - m0) * width);
}

// ---- few rows: b is not packed ----

// b has consecutive k per column (weights [out, in]): 2W columns, transposed in registers a vector at a time.
template <int R, class T>
void few_rows_by_k(const T* const* column, int count, const float* a, int64_t k, float (*out)[16 * W]) {
  constexpr int kStep = W * 4 / static_cast<int>(sizeof(T));
  F total[R][2];
  for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += kKBlock) {
    int64_t end = std::min(k, k0 + kKBlock);
    F acc[R][2];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = set(0);
    for (int64_t at = k0; at < end; at += kStep) {
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        int n = std::clamp(count - h * W, 0, W);
        if (n == 0) continue;
        I words[W];
        load_words(column + h * W, n, at, end - at, k - at, words);
        const float* x = a + at;
        if (end - at >= kStep) {
#pragma GCC unroll 16
          for (int j = 0; j < W; ++j) {
            if constexpr (sizeof(T) == 4) {
#pragma GCC unroll 4
              for (int r = 0; r < R; ++r) acc[r][h] = fma(set(x[r * k + j]), (F)words[j], acc[r][h]);
            } else {
              F low = low_half(words[j], T{}), high = high_half(words[j], T{});
#pragma GCC unroll 4
              for (int r = 0; r < R; ++r) {
                acc[r][h] = fma(set(x[r * k + 2 * j]), low, acc[r][h]);
                acc[r][h] = fma(set(x[r * k + 2 * j + 1]), high, acc[r][h]);
              }
            }
          }
        } else {
          for (int64_t j = 0; j < end - at; ++j) {
            F w;
            if constexpr (sizeof(T) == 4)
              w = (F)words[j];
            else
              w = j & 1 ? high_half(words[j / 2], T{}) : low_half(words[j / 2], T{});
#pragma GCC unroll 4
            for (int r = 0; r < R; ++r) acc[r][h] = fma(set(x[r * k + j]), w, acc[r][h]);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      for (int h = 0; h < 2; ++h) total[r][h] = k0 ? total[r][h] + acc[r][h] : acc[r][h];
  }
  for (int r = 0; r < R; ++r)
    for (int h = 0; h < 2; ++h) store(out[r] + h * W, total[r][h]);
}

// b has consecutive columns per k (weights [in, out]): up to V vectors of columns, the wider the better for
// memory.
template <int R, int V, class T>
void few_rows_by_n(const T* b, int64_t k_stride, int count, const float* a, int64_t k, float* out,
                   int64_t out_stride) {
  for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += kKBlock) {
    const int64_t end = std::min(k, k0 + kKBlock);
    F acc[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) acc[r][v] = set(0);
    auto step = [&](int64_t at, auto load_at) {
      const T* p = b + at * k_stride;
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        F w = load_at(p, v);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) acc[r][v] = fma(set(a[r * k + at]), w, acc[r][v]);
      }
    };
    if (count == V * W)
      for (int64_t at = k0; at < end; ++at) step(at, [](const T* p, int v) { return load(p + v * W); });
    else
      for (int64_t at = k0; at < end; ++at)
        step(at, [&](const T* p, int v) {
          const int n = count - v * W;
          return n >= W ? load(p + v * W) : load_n(p + v * W, n > 0 ? n : 0);
        });
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        float* c = out + r * out_stride + v * W;
        store(c, k0 ? load(c) + acc[r][v] : acc[r][v]);
      }
  }
}

template <int R>
void few_rows(const Gemm& g, const float* a, int64_t n0, int64_t n1) {
  const int64_t k = g.k.total();
  constexpr int kRegisters = HOIST_ISA_IS_AVX512 ? 16 : 8;
  constexpr int V = R == 1 ? kRegisters : R == 2 ? kRegisters / 2 : kRegisters / 4;
  alignas(64) float out[R][16 * W];
  with_type(g.b_type, [&](auto tag) {
    using T = decltype(tag);
    const T* b = reinterpret_cast<const T*>(g.b);
    const bool by_k = g.k.contiguous(B);
    const int64_t step = by_k ? 2 * W : V * W;
    for (int64_t n = n0; n < n1; n += step) {
      int count = static_cast<int>(std::min(step, n1 - n));
      if (by_k) {
        int64_t at[2 * W];
        const T* column[2 * W];
        g.n.offsets(B, n, count, at);
        for (int i = 0; i < count; ++i) column[i] = b + at[i];
        few_rows_by_k<R>(column, count, a, k, out);
      } else {
        few_rows_by_n<R, V>(b + n, g.k.count ? g.k.stride[0][B] : 0, count, a, k, out[0], 16 * W);
      }
      for (int r = 0; r < R; ++r) write_row(g, g.m.offset(C, r), n, count, out[r]);
    }
  });
}

void flip(Gemm& g) {
  std::swap(g.m, g.n);
  std::swap(g.a, g.b);
  std::swap(g.a_type, g.b_type);
  for (AxisGroup* x : {&g.batch, &g.m, &g.n, &g.k})
    for (int i = 0; i < x->count; ++i) std::swap(x->stride[i][A], x->stride[i][B]);
}

// Elements of tile computed, and a penalty for a result that is written element by element.
double cost(int64_t m, int64_t n, int64_t k, bool contiguous) {
  double rows = static_cast<double>(m), columns = static_cast<double>(ceil_div(n, kNr) * kNr);
  return rows * columns * (static_cast<double>(k) + (contiguous ? 0 : 64));
}

void advance(Gemm& g, int64_t batch) {
  g.a += g.batch.offset(A, batch) * dtype_size(g.a_type);
  g.b += g.batch.offset(B, batch) * dtype_size(g.b_type);
  g.c += g.batch.offset(C, batch) * dtype_size(g.c_type);
}

}  // namespace

void gemm(const Gemm& original, std::byte* workspace, ThreadPool& pool) {
  Gemm g = original;
  int64_t m = g.m.total(), n = g.n.total();
  const int64_t k = g.k.total(), batches = g.batch.total();
  if (m == 0 || n == 0 || batches == 0) return;
  if (cost(n, m, k, g.m.contiguous(C)) < cost(m, n, k, g.n.contiguous(C))) {
    flip(g);
    std::swap(m, n);
  }
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k + 1);
  const bool b_direct = g.k.contiguous(B) || (g.n.contiguous(B) && g.k.count <= 1);
  const int64_t bytes = gemm_workspace(0, 0, 0, 1);
  if (m <= kFewRows && b_direct) {
    // Rows of a as f32 with consecutive k, once for all workers. Several batch entries take turns.
    float* rows = reinterpret_cast<float*>(workspace);
    const bool in_place =
        g.a_type == DType::f32 && g.k.contiguous(A) && (m == 1 || (g.m.count == 1 && g.m.stride[0][A] == k));
    constexpr auto kBody = [] {
      struct Table {
        void (*run[kFewRows])(const Gemm&, const float*, int64_t, int64_t);
      };
      return Table{{few_rows<1>, few_rows<2>, few_rows<3>, few_rows<4>}};
    }();
    const int64_t tile_n = 4 * W, tiles = ceil_div(n, tile_n);
    const int64_t grain =
        std::max<int64_t>(1, static_cast<int64_t>(65536.0 / (work / static_cast<double>(tiles))));
    for (int64_t i = 0; i < batches; ++i) {
      Gemm one = g;
      advance(one, i);
      const float* a = reinterpret_cast<const float*>(one.a);
      if (!in_place) {
        with_type(g.a_type, [&](auto tag) {
          using T = decltype(tag);
          for (int64_t r = 0; r < m; ++r) {
            const T* src = reinterpret_cast<const T*>(one.a) + g.m.offset(A, r);
            float* dst = rows + r * k;
            if (g.k.contiguous(A)) {
              for (int64_t j = 0; j < k; j += W) store_tail(dst + j, load_tail(src + j, k - j), k - j);
            } else {
              int64_t at[kKBlock];
              for (int64_t j = 0; j < k; j += kKBlock) {
                int64_t count = std::min(kKBlock, k - j);
                g.k.offsets(A, j, count, at);
                for (int64_t e = 0; e < count; ++e) store_n(dst + j + e, load_n(src + at[e], 1), 1);
              }
            }
          }
        });
        a = rows;
      }
      pool.parallel_for(tiles, grain, [&](int64_t begin, int64_t end, int) {
        kBody.run[m - 1](one, a, begin * tile_n, std::min(n, end * tile_n));
      });
    }
    return;
  }
  // Cut into about as many equal blocks as keep every worker busy, columns first: b is then packed once.
  const int64_t threads = pool.threads();
  int64_t m_blocks = ceil_div(m, kMBlock), n_blocks = ceil_div(n, kNBlock);
  const double whole = work * static_cast<double>(batches);
  if (whole > 65536 && threads > 1) {
    auto uneven = [&] {
      int64_t tasks = m_blocks * n_blocks * batches;
      return tasks < threads || (tasks < 4 * threads && tasks % threads);
    };
    while (uneven() && ceil_div(n, n_blocks + 1) >= 2 * kNr) ++n_blocks;
    while (uneven() && ceil_div(m, m_blocks + 1) >= kMr) ++m_blocks;
  }
  const int64_t m_step = ceil_div(ceil_div(m, m_blocks), kMr) * kMr,
                n_step = ceil_div(ceil_div(n, n_blocks), kNr) * kNr;
  m_blocks = ceil_div(m, m_step);
  n_blocks = ceil_div(n, n_step);
  const int64_t tasks = m_blocks * n_blocks * batches;
  const int64_t grain =
      std::max<int64_t>(1, static_cast<int64_t>(65536.0 / (whole / static_cast<double>(tasks))));
  pool.parallel_for(tasks, grain, [&](int64_t begin, int64_t end, int worker) {
    Scratch s = scratch_of(workspace, worker, bytes);
    for (int64_t t = begin; t < end; ++t) {
      Gemm one = g;
      advance(one, t / (m_blocks * n_blocks));
      int64_t mb = t / n_blocks % m_blocks, nb = t % n_blocks;
      run_block(one, mb * m_step, std::min(m, (mb + 1) * m_step), nb * n_step, std::min(n, (nb + 1) * n_step),
                s);
    }
  });
}

}  // namespace hoist::kernels::cpu::HOIST_ISA

#if HOIST_ISA_LAST
namespace hoist::kernels::cpu {

void AxisGroup::add(int64_t n, int64_t a, int64_t b, int64_t c) {
  if (n == 1) return;
  if (count) {
    int64_t* outer = stride[count - 1];
    if (outer[kA] == a * n && outer[kB] == b * n && outer[kC] == c * n) {
      size[count - 1] *= n;
      outer[kA] = a;
      outer[kB] = b;
      outer[kC] = c;
      return;
    }
  }
  HOIST_CHECK(count < kMax, "too many axes in a contraction");
  size[count] = n;
  stride[count][kA] = a;
  stride[count][kB] = b;
  stride[count][kC] = c;
  ++count;
}

void AxisGroup::offsets(int tensor, int64_t begin, int64_t n, int64_t* out) const {
  if (count <= 1) {
    int64_t s = count ? stride[0][tensor] : 0;
    for (int64_t i = 0; i < n; ++i) out[i] = (begin + i) * s;
    return;
  }
  int64_t index[kMax];
  int64_t at = 0, rest = begin;
  for (int d = count - 1; d >= 0; --d) {
    index[d] = rest % size[d];
    rest /= size[d];
    at += index[d] * stride[d][tensor];
  }
  for (int64_t i = 0; i < n; ++i) {
    out[i] = at;
    for (int d = count - 1; d >= 0; --d) {
      at += stride[d][tensor];
      if (++index[d] < size[d]) break;
      at -= size[d] * stride[d][tensor];
      index[d] = 0;
    }
  }
}

int64_t gemm_workspace(int64_t m, int64_t n, int64_t k, int threads) {
  // The largest panels of any instruction set: 384 + 12 rows of a, 32 columns of b, a 384 x 512 block of c.
  const int64_t worker = ((396 + 32) * kKBlock + 128 + 384 * 512) * 4;
  const int64_t rows = std::min<int64_t>(std::min(m, n), 4) * k * 4;  // few rows
  return std::max(worker * threads, rows);
}

}  // namespace hoist::kernels::cpu
#endif
