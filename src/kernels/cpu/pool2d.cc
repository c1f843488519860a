// Pooling and its gradients, plane by plane. A row of the output comes from kh rows of the input, joined
// first, then from kw taps of the joined row; the gradient of a maximum finds the winning taps W at a time
// and adds to them one by one.
#include "ops/pool2d.h"

#include <limits>
#include <utility>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

struct PoolShape {
  int64_t planes, h, w, out_h, out_w;
  PoolShape(const TensorView& x, const TensorView& y)
      : planes(x.dims[0] * x.dims[1]), h(x.dims[2]), w(x.dims[3]), out_h(y.dims[2]), out_w(y.dims[3]) {}
};

// Floats of a joined row with its padding, for vectors of up to 16 lanes that read past its end.
int64_t padded_width(const ops::Pool2dAttrs& a, int64_t w, int64_t out_w) {
  return std::max(a.pad_left + w, (out_w - 1) * a.stride_w + a.kw) + 48;
}
template <int kInput, int kOutput>  // operands; -1: the result
int64_t pool_workspace(const ir::OpView& v, const ops::Pool2dAttrs& a, int threads) {
  auto of = [&](int i) -> const ir::Type& {
    return i < 0 ? v.results[0] : v.operands[static_cast<size_t>(i)];
  };
  const ir::Type &x = of(kInput), &y = of(kOutput);
  // A padded row, and an output row of places.
  return threads * align64(4 * (padded_width(a, x.dims[3].size, y.dims[3].size) + y.dims[3].size + 16) +
                           4 * x.dims[2].size * x.dims[3].size);
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/pool2d.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

using ops::Pool2dAttrs;

// W numbers p[0], p[step], ...
template <size_t... I>
HOIST_INLINE F even_lanes(F a, F b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (2 * I)...);
}
HOIST_INLINE F load_steps(const float* p, int64_t step) {
  if (step == 1) return load(p);
  if (step == 2) return even_lanes(load(p), load(p + W), std::make_index_sequence<W>());
  alignas(64) float v[W];
  for (int i = 0; i < W; ++i) v[i] = p[i * step];
  return load(v);
}
// The larger; a NaN if there is one.
HOIST_INLINE F larger(F x, F y) { return (x >= y) | (x != x) ? x : y; }

struct Rows {
  int64_t begin, end;
};
Rows rows_of(const Pool2dAttrs& a, const PoolShape& s, int64_t r) {
  const int64_t row = r * a.stride_h - a.pad_top;
  return {std::max<int64_t>(row, 0), std::min(row + a.kh, s.h)};
}

// Windows of one plane; kMax: maxima, else averages. `row` is a padded row of scratch.
template <bool kMax, class T>
void pool_plane(const Pool2dAttrs& a, const PoolShape& s, const T* x, T* y, float* row) {
  const float outside = kMax ? -std::numeric_limits<float>::infinity() : 0.0f;
  std::fill_n(row, padded_width(a, s.w, s.out_w), outside);
  float* line = row + a.pad_left;
  const F scale = set(1.0f / (static_cast<float>(a.kh) * static_cast<float>(a.kw)));
  // Where strides leave gaps the last vectors read further than the row's end: load_steps stays inside for
  // steps of one and two, and other steps go one by one.
  for (int64_t r = 0; r < s.out_h; ++r) {
    const Rows rows = rows_of(a, s, r);
    for (int64_t c = 0; c < s.w; c += W) {
      const int64_t left = s.w - c;
      F v = load_tail(x + rows.begin * s.w + c, left);
      for (int64_t h = rows.begin + 1; h < rows.end; ++h) {
        const F u = load_tail(x + h * s.w + c, left);
        v = kMax ? larger(v, u) : v + u;
      }
      store_tail(line + c, v, left);
    }
    for (int64_t c = 0; c < s.out_w; c += W) {
      const int64_t left = s.out_w - c;
      const float* p = row + c * a.stride_w;
      if (a.stride_w <= 2 || left >= W) {
        F v = load_steps(p, a.stride_w);
        for (int64_t t = 1; t < a.kw; ++t) {
          const F u = load_steps(p + t, a.stride_w);
          v = kMax ? larger(v, u) : v + u;
        }
        store_tail(y + r * s.out_w + c, kMax ? v : v * scale, left);
        continue;
      }
      for (int64_t i = 0; i < left; ++i) {
        F v = load_n(p + i * a.stride_w, 1);
        for (int64_t t = 1; t < a.kw; ++t) {
          const F u = load_n(p + i * a.stride_w + t, 1);
          v = kMax ? larger(v, u) : v + u;
        }
        store_n(y + r * s.out_w + c + i, kMax ? v : v * scale, 1);
      }
    }
  }
}

struct PoolScratch {
  float *row, *plane;
  int32_t* places;
};
PoolScratch scratch_of(const KernelArgs& args, const Pool2dAttrs& a, const PoolShape& s, int worker) {
  const int64_t width = padded_width(a, s.w, s.out_w);
  const int64_t bytes = align64(4 * (width + s.out_w + 16) + 4 * s.h * s.w);
  float* row = reinterpret_cast<float*>(args.workspace + worker * bytes);
  return {row, row + width + s.out_w + 16, reinterpret_cast<int32_t*>(row + width)};
}

template <bool kMax>
void run_pool(const KernelArgs& args) noexcept {
  const Pool2dAttrs& a = args.attrs.as<Pool2dAttrs>();
  const PoolShape s(args.operands[0], args.results[0]);
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(s.planes, grain_for(s.h * s.w), [&](int64_t begin, int64_t end, int worker) {
      float* row = scratch_of(args, a, s, worker).row;
      for (int64_t p = begin; p < end; ++p)
        pool_plane<kMax>(a, s, args.in<T>(0) + p * s.h * s.w, args.out<T>(0) + p * s.out_h * s.out_w, row);
    });
  });
}

// Which number of the plane wins each window of output row r: the first of the largest.
template <class T>
void winners(const Pool2dAttrs& a, const PoolShape& s, const T* x, int64_t r, float* row, int32_t* places) {
  const Rows rows = rows_of(a, s, r);
  float* line = row + a.pad_left;
  for (int64_t c = 0; c < s.out_w; c += W) {  // nobody yet
    const int64_t left = s.out_w - c;
    store_tail(reinterpret_cast<float*>(places + c), (F)seti(-1), left);
  }
  alignas(64) float best[W];
  for (int64_t c = 0; c < s.out_w; c += W) {
    const int64_t left = std::min<int64_t>(W, s.out_w - c);
    F top = set(-std::numeric_limits<float>::infinity());
    I where = seti(-1);
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      const int64_t from = c * a.stride_w, first = from - a.pad_left;  // columns of the padded row
      const int64_t count = (left - 1) * a.stride_w + a.kw;
      // The part of this row that the W windows see, with its padding.
      for (int64_t i = 0; i < count; i += W) {
        const int64_t at = first + i, n = std::min<int64_t>(W, count - i);
        if (at >= 0 && at + n <= s.w) {
          store_tail(row + i, load_tail(x + h * s.w + at, n), n);
        } else {
          for (int64_t k = 0; k < n; ++k)
            row[i + k] = at + k >= 0 && at + k < s.w ? sum(load_n(x + h * s.w + at + k, 1))
                                                     : -std::numeric_limits<float>::infinity();
        }
      }
      for (int64_t t = 0; t < a.kw; ++t) {
        F v;
        if (a.stride_w <= 2) {
          v = load_steps(row + t, a.stride_w);
        } else {
          for (int64_t k = 0; k < left; ++k) best[k] = row[t + k * a.stride_w];
          v = load_n(best, static_cast<int>(left));
        }
        const I column =
            lane_index() * seti(static_cast<int32_t>(a.stride_w)) + seti(static_cast<int32_t>(first + t));
        const I inside = (column >= seti(0)) & (column < seti(static_cast<int32_t>(s.w)));
        const I wins = ((I)(v > top) | ((I)(v != v) & (I)(top == top)) | (where < seti(0))) & inside;
        top = wins ? v : top;
        where = wins ? column + seti(static_cast<int32_t>(h * s.w)) : where;
      }
    }
    store_n(reinterpret_cast<float*>(places + c), (F)where, static_cast<int>(left));
  }
  (void)line;
}

void run_max_grad(const KernelArgs& args) noexcept {
  const Pool2dAttrs& a = args.attrs.as<Pool2dAttrs>();
  const PoolShape s(args.operands[0], args.operands[1]);
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(s.planes, grain_for(s.h * s.w), [&](int64_t begin, int64_t end, int worker) {
      const PoolScratch k = scratch_of(args, a, s, worker);
      for (int64_t p = begin; p < end; ++p) {
        const T* dy = args.in<T>(1) + p * s.out_h * s.out_w;
        T* dx = args.out<T>(0) + p * s.h * s.w;
        float* sums = sizeof(T) == 4 ? reinterpret_cast<float*>(dx) : k.plane;
        std::fill_n(sums, s.h * s.w, 0.0f);
        for (int64_t r = 0; r < s.out_h; ++r) {
          winners(a, s, args.in<T>(0) + p * s.h * s.w, r, k.row, k.places);
          for (int64_t c = 0; c < s.out_w; c += W) {
            alignas(64) float d[W];
            const int64_t left = s.out_w - c, n = std::min<int64_t>(W, left);
            store(d, load_tail(dy + r * s.out_w + c, left));
            for (int64_t i = 0; i < n; ++i) sums[k.places[c + i]] += d[i];
          }
        }
        if constexpr (sizeof(T) != 4)
          for (int64_t i = 0; i < s.h * s.w; i += W)
            store_tail(dx + i, load_tail(sums + i, s.h * s.w - i), s.h * s.w - i);
      }
    });
  });
}

void run_average_grad(const KernelArgs& args) noexcept {
  const Pool2dAttrs& a = args.attrs.as<ops::AveragePool2dGradAttrs>().pool;
  const PoolShape s(args.results[0], args.operands[0]);
  const float scale = 1.0f / (static_cast<float>(a.kh) * static_cast<float>(a.kw));
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(s.planes, grain_for(s.h * s.w), [&](int64_t begin, int64_t end, int worker) {
      const PoolScratch k = scratch_of(args, a, s, worker);
      for (int64_t p = begin; p < end; ++p) {
        const T* dy = args.in<T>(0) + p * s.out_h * s.out_w;
        T* dx = args.out<T>(0) + p * s.h * s.w;
        float* sums = sizeof(T) == 4 ? reinterpret_cast<float*>(dx) : k.plane;
        std::fill_n(sums, s.h * s.w, 0.0f);
        for (int64_t r = 0; r < s.out_h; ++r) {
          std::fill_n(k.row, padded_width(a, s.w, s.out_w), 0.0f);
          for (int64_t c = 0; c < s.out_w; ++c) {
            const float d = sum(load_n(dy + r * s.out_w + c, 1)) * scale;
            for (int64_t t = 0; t < a.kw; ++t) k.row[c * a.stride_w + t] += d;
          }
          const Rows rows = rows_of(a, s, r);
          for (int64_t h = rows.begin; h < rows.end; ++h)
            for (int64_t c = 0; c < s.w; c += W) {
              float* to = sums + h * s.w + c;
              store_tail(to, load_tail(to, s.w - c) + load(k.row + a.pad_left + c), s.w - c);
            }
        }
        if constexpr (sizeof(T) != 4)
          for (int64_t i = 0; i < s.h * s.w; i += W)
            store_tail(dx + i, load_tail(sums + i, s.h * s.w - i), s.h * s.w - i);
      }
    });
  });
}

// Places in a plane are 32-bit; rows of scratch stay modest.
bool pool_supports(const ir::OpView& v) {
  if (!narrow_floats(v)) return false;
  for (const ir::Type& t : v.operands)
    if (t.dims[2].size * t.dims[3].size >= (int64_t{1} << 30)) return false;
  return v.results[0].dims[2].size * v.results[0].dims[3].size < (int64_t{1} << 30);
}

}  // namespace

void add_pool2d(KernelList& list) {
  static constexpr auto kForward = [](const ir::OpView& v, int threads) {
    return pool_workspace<0, -1>(v, v.attrs_as<Pool2dAttrs>(), threads);
  };
  static constexpr auto kMaxGrad = [](const ir::OpView& v, int threads) {
    return pool_workspace<0, 1>(v, v.attrs_as<Pool2dAttrs>(), threads);
  };
  static constexpr auto kAverageGrad = [](const ir::OpView& v, int threads) {
    return pool_workspace<-1, 0>(v, v.attrs_as<ops::AveragePool2dGradAttrs>().pool, threads);
  };
  static const Kernel kernels[] = {
      {"max_pool2d", HOIST_ISA_NAME, pool_supports, run_pool<true>, nullptr, kForward},
      {"average_pool2d", HOIST_ISA_NAME, pool_supports, run_pool<false>, nullptr, kForward},
      {"max_pool2d_grad", HOIST_ISA_NAME, pool_supports, run_max_grad, nullptr, kMaxGrad},
      {"average_pool2d_grad", HOIST_ISA_NAME, pool_supports, run_average_grad, nullptr, kAverageGrad}};
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
