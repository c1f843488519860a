// Elementwise ops. A smaller operand's axes must be consecutive in the larger one ([outer, it, inner]): a
// row, a column, a scalar, or all of it; other patterns are left to the reference kernels.
#include "ops/elementwise.h"

#include <cmath>

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

// Axes [first, last) of the larger operand are those of the smaller one, which is operand `small`; -1: both
// are whole.
struct BroadcastPlan {
  int8_t small = -1, first = 0, last = 0;
};

// False when the smaller operand's axes do not stand together.
bool broadcast_plan(const ir::Type& x, const ir::Type& y, BroadcastPlan& plan) {
  if (x.rank() == y.rank()) return true;
  plan.small = x.rank() < y.rank() ? 0 : 1;
  const ir::Type &large = plan.small ? x : y, &small = plan.small ? y : x;
  if (small.rank() == 0) return true;
  plan.first = static_cast<int8_t>(large.find(small.dims[0].axis));
  plan.last = static_cast<int8_t>(plan.first + small.rank());
  return large.find(small.dims.back().axis) == plan.last - 1;
}

bool binary_supports(const ir::OpView& v) {
  BroadcastPlan plan;
  return narrow_floats(v) && is_float(v.operands[0].dtype) && v.operands[0].dtype == v.operands[1].dtype &&
         v.results[0].dtype == v.operands[0].dtype && broadcast_plan(v.operands[0], v.operands[1], plan);
}
void binary_prepare(const ir::OpView& v, Prepared& prepared) {
  BroadcastPlan plan;
  broadcast_plan(v.operands[0], v.operands[1], plan);
  prepared.store(plan);
}

bool like_supports(const ir::OpView& v) {
  BroadcastPlan plan;
  return narrow_floats(v) && is_float(v.operands[0].dtype) && v.operands[0].rank() < v.operands[1].rank() &&
         broadcast_plan(v.operands[0], v.operands[1], plan);
}

bool cast_supports(const ir::OpView& v) {
  return narrow_float(v.operands[0].dtype) && narrow_float(v.results[0].dtype) &&
         v.operands[0].format.empty();
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/elementwise.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

HOIST_INLINE F neg(F x) { return -x; }
HOIST_INLINE F rsqrt(F x) { return set(1.0f) / vsqrt(x); }
HOIST_INLINE F reciprocal(F x) { return set(1.0f) / x; }
HOIST_INLINE F square(F x) { return x * x; }
HOIST_INLINE F relu(F x) { return x >= set(0) ? x : (x != x ? x : set(0)); }
HOIST_INLINE F is_finite(F x) { return vabs(x) < set(__builtin_inff()) ? set(1) : set(0); }

HOIST_INLINE F add(F x, F y) { return x + y; }
HOIST_INLINE F sub(F x, F y) { return x - y; }
HOIST_INLINE F mul(F x, F y) { return x * y; }
HOIST_INLINE F div(F x, F y) { return x / y; }
HOIST_INLINE F maximum_of(F x, F y) { return (x >= y) | (x != x) ? x : y; }
HOIST_INLINE F minimum_of(F x, F y) { return (x <= y) | (x != x) ? x : y; }
HOIST_INLINE F greater_equal(F x, F y) { return x >= y ? set(1) : set(0); }
HOIST_INLINE F equal(F x, F y) { return x == y ? set(1) : set(0); }

constexpr int64_t kGrain = 16384;

// Loops compute on floats. Elements of 16 bits go through buffers of one chunk, which stay in the first
// cache: one loop per op serves every type, and an element's bits are the same.
constexpr int64_t kChunk = 512;
struct Chunk {
  alignas(64) float data[kChunk];
};

// Elements [at, at + n) of a tensor as floats: where they lie, or in the buffer.
__attribute__((noinline)) const float* floats_of(const TensorView& x, int64_t at, int64_t n, float* buffer) {
  if (x.dtype == DType::f32) return x.as<const float>() + at;
  with_type(x.dtype, [&](auto tag) {
    const auto* from = x.as<const decltype(tag)>() + at;
    for (int64_t i = 0; i < n; i += W) store_tail(buffer + i, load_tail(from + i, n - i), n - i);
  });
  return buffer;
}
// Where results for [at, ...) are computed, and how they get to their place from there.
float* place_of(const TensorView& y, int64_t at, float* buffer) {
  return y.dtype == DType::f32 ? y.as<float>() + at : buffer;
}
__attribute__((noinline)) void put_floats(const TensorView& y, int64_t at, int64_t n, const float* from) {
  with_type(y.dtype, [&](auto tag) {
    auto* to = y.as<decltype(tag)>() + at;
    if (static_cast<const void*>(to) == from) return;
    for (int64_t i = 0; i < n; i += W) store_tail(to + i, load_tail(from + i, n - i), n - i);
  });
}

// body(at, n) over chunks of [begin, end).
template <class Body>
HOIST_INLINE void for_chunks(int64_t begin, int64_t end, Body body) {
  for (int64_t at = begin; at < end; at += kChunk) body(at, std::min(kChunk, end - at));
}

// n elements of y from x. bf16 is common enough for loops of its own.
template <F (*fn)(F), class T>
void unary_loop(const T* x, T* y, int64_t n) {
  for (int64_t i = 0; i < n; i += W) store_tail(y + i, fn(load_tail(x + i, n - i)), n - i);
}
struct UnaryLoops {
  void (*full)(const float* x, float* y, int64_t n);
  void (*narrow)(const bf16* x, bf16* y, int64_t n);
};
// loop(x, y, n) on chunks of operand 0 and result 0.
template <class Loop>
void map_chunks(const KernelArgs& args, Loop loop) {
  const TensorView &from = args.operands[0], &to = args.results[0];
  args.pool.parallel_for(from.elements(), kGrain, [&](int64_t begin, int64_t end, int) {
    Chunk in, out;
    for_chunks(begin, end, [&](int64_t at, int64_t n) {
      float* y = place_of(to, at, out.data);
      loop(floats_of(from, at, n, in.data), y, n);
      put_floats(to, at, n, y);
    });
  });
}
void run_unary(const KernelArgs& args, const UnaryLoops& loops) {
  if (args.operands[0].dtype != DType::bf16) return map_chunks(args, loops.full);
  args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
    loops.narrow(args.in<bf16>(0) + begin, args.out<bf16>(0) + begin, end - begin);
  });
}
template <F (*fn)(F)>
void unary(const KernelArgs& args) noexcept {
  run_unary(args, {unary_loop<fn, float>, unary_loop<fn, bf16>});
}

void affine(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::AffineAttrs>();
  const F scale = set(static_cast<float>(a.scale)), shift = set(static_cast<float>(a.shift));
  map_chunks(args, [&](const float* x, float* y, int64_t n) {
    for (int64_t i = 0; i < n; i += W) store_tail(y + i, load_tail(x + i, n - i) * scale + shift, n - i);
  });
}

void cast(const KernelArgs& args) noexcept {
  const TensorView &from = args.operands[0], &to = args.results[0];
  args.pool.parallel_for(from.elements(), kGrain, [&](int64_t begin, int64_t end, int) {
    Chunk buffer;
    for_chunks(begin, end, [&](int64_t at, int64_t n) {
      put_floats(to, at, n, floats_of(from, at, n, place_of(to, at, buffer.data)));
    });
  });
}

// cond, x, y of one shape.
void select(const KernelArgs& args) noexcept {
  const TensorView& to = args.results[0];
  args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
    Chunk buffers[4];
    for_chunks(begin, end, [&](int64_t at, int64_t n) {
      const float *c = floats_of(args.operands[0], at, n, buffers[0].data),
                  *x = floats_of(args.operands[1], at, n, buffers[1].data),
                  *y = floats_of(args.operands[2], at, n, buffers[2].data);
      float* out = place_of(to, at, buffers[3].data);
      for (int64_t i = 0; i < n; i += W) {
        const int64_t left = n - i;
        store_tail(out + i,
                   load_tail(c + i, left) != set(0) ? load_tail(x + i, left) : load_tail(y + i, left), left);
      }
      put_floats(to, at, n, out);
    });
  });
}

// n elements of out from x and y; `both`: from as many of each; else one of them is a single element.
struct BinaryLoops {
  void (*both)(const float* x, const float* y, float* out, int64_t n);
  void (*both_narrow)(const bf16* x, const bf16* y, bf16* out, int64_t n);
  void (*by_right)(const float* x, float y, float* out, int64_t n);
  void (*by_left)(float x, const float* y, float* out, int64_t n);
};
template <F (*fn)(F, F), class T>
void both_loop(const T* x, const T* y, T* out, int64_t n) {
  for (int64_t i = 0; i < n; i += W)
    store_tail(out + i, fn(load_tail(x + i, n - i), load_tail(y + i, n - i)), n - i);
}
template <F (*fn)(F, F)>
void right_loop(const float* x, float y, float* out, int64_t n) {
  for (int64_t i = 0; i < n; i += W) store_tail(out + i, fn(load_tail(x + i, n - i), set(y)), n - i);
}
template <F (*fn)(F, F)>
void left_loop(float x, const float* y, float* out, int64_t n) {
  for (int64_t i = 0; i < n; i += W) store_tail(out + i, fn(set(x), load_tail(y + i, n - i)), n - i);
}

// Over the larger operand's shape [outer, mid, inner], where the smaller one is [mid].
void run_broadcast(const KernelArgs& args, const BinaryLoops& loops, int small_index, int64_t outer,
                   int64_t mid, int64_t inner) {
  const TensorView &small = args.operands[static_cast<size_t>(small_index)],
                   &large = args.operands[static_cast<size_t>(1 - small_index)], &to = args.results[0];
  if (inner == 1) {  // rows of mid
    args.pool.parallel_for(outer, grain_for(mid), [&](int64_t begin, int64_t end, int) {
      if (to.dtype == DType::bf16) {
        const bf16* y = small.as<const bf16>();
        for (int64_t row = begin; row < end; ++row) {
          const bf16* x = large.as<const bf16>() + row * mid;
          loops.both_narrow(small_index ? x : y, small_index ? y : x, to.as<bf16>() + row * mid, mid);
        }
        return;
      }
      Chunk a, b, c;
      for (int64_t row = begin; row < end; ++row)
        for_chunks(0, mid, [&](int64_t i, int64_t n) {
          const float *x = floats_of(large, row * mid + i, n, a.data), *y = floats_of(small, i, n, b.data);
          float* out = place_of(to, row * mid + i, c.data);
          loops.both(small_index ? x : y, small_index ? y : x, out, n);
          put_floats(to, row * mid + i, n, out);
        });
    });
    return;
  }
  const int64_t piece = std::max<int64_t>(1, inner / kGrain), step = (inner + piece - 1) / piece;
  args.pool.parallel_for(outer * mid * piece, grain_for(step), [&](int64_t begin, int64_t end, int) {
    Chunk a, c;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row / piece * inner;
      const float value = *floats_of(small, row / piece % mid, 1, a.data);
      for_chunks(at + std::min(inner, row % piece * step), at + std::min(inner, (row % piece + 1) * step),
                 [&](int64_t i, int64_t n) {
                   const float* x = floats_of(large, i, n, a.data);
                   float* out = place_of(to, i, c.data);
                   small_index ? loops.by_right(x, value, out, n) : loops.by_left(value, x, out, n);
                   put_floats(to, i, n, out);
                 });
    }
  });
}

void run_binary(const KernelArgs& args, const BinaryLoops& loops) {
  const BroadcastPlan& p = args.prepared.as<BroadcastPlan>();
  if (p.small < 0) {
    const TensorView& to = args.results[0];
    args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      if (to.dtype == DType::bf16)
        return loops.both_narrow(args.in<bf16>(0) + begin, args.in<bf16>(1) + begin,
                                 args.out<bf16>(0) + begin, end - begin);
      Chunk a, b, c;
      for_chunks(begin, end, [&](int64_t at, int64_t n) {
        float* out = place_of(to, at, c.data);
        loops.both(floats_of(args.operands[0], at, n, a.data), floats_of(args.operands[1], at, n, b.data),
                   out, n);
        put_floats(to, at, n, out);
      });
    });
    return;
  }
  const TensorView& large = args.operands[static_cast<size_t>(1 - p.small)];
  int64_t outer = 1, mid = 1, inner = 1;
  for (int i = 0; i < large.dims.size(); ++i)
    (i < p.first ? outer : i < p.last ? mid : inner) *= large.dims[i];
  run_broadcast(args, loops, p.small, outer, mid, inner);
}
template <F (*fn)(F, F)>
void binary(const KernelArgs& args) noexcept {
  run_binary(args, {both_loop<fn, float>, both_loop<fn, bf16>, right_loop<fn>, left_loop<fn>});
}

// x -> the axes of operand 1, whose elements are not read.
void broadcast_like(const KernelArgs& args) noexcept {
  const BroadcastPlan& p = args.prepared.as<BroadcastPlan>();
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    const TensorView& large = args.results[0];
    int64_t outer = 1, mid = 1, inner = 1;
    for (int i = 0; i < large.dims.size(); ++i)
      (i < p.first ? outer : i < p.last ? mid : inner) *= large.dims[i];
    const T* x = args.in<T>(0);
    T* out = args.out<T>(0);
    args.pool.parallel_for(outer * mid, grain_for(inner), [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) std::fill_n(out + row * inner, inner, x[row % mid]);
    });
  });
}

}  // namespace

void add_elementwise(KernelList& list) {
  static const Kernel kernels[] = {
      {"neg", HOIST_ISA_NAME, narrow_floats, unary<neg>},
      {"exp", HOIST_ISA_NAME, narrow_floats, unary<vexp>},
      {"sqrt", HOIST_ISA_NAME, narrow_floats, unary<vsqrt>},
      {"rsqrt", HOIST_ISA_NAME, narrow_floats, unary<rsqrt>},
      {"reciprocal", HOIST_ISA_NAME, narrow_floats, unary<reciprocal>},
      {"square", HOIST_ISA_NAME, narrow_floats, unary<square>},
      {"tanh", HOIST_ISA_NAME, narrow_floats, unary<vtanh>},
      {"erf", HOIST_ISA_NAME, narrow_floats, unary<verf>},
      {"sigmoid", HOIST_ISA_NAME, narrow_floats, unary<vsigmoid>},
      {"relu", HOIST_ISA_NAME, narrow_floats, unary<relu>},
      {"is_finite", HOIST_ISA_NAME, narrow_floats, unary<is_finite>},
      {"affine", HOIST_ISA_NAME, narrow_floats, affine},
      {"cast", HOIST_ISA_NAME, cast_supports, cast},
      {"select", HOIST_ISA_NAME, narrow_floats, select},
      {"add", HOIST_ISA_NAME, binary_supports, binary<add>, binary_prepare},
      {"sub", HOIST_ISA_NAME, binary_supports, binary<sub>, binary_prepare},
      {"mul", HOIST_ISA_NAME, binary_supports, binary<mul>, binary_prepare},
      {"div", HOIST_ISA_NAME, binary_supports, binary<div>, binary_prepare},
      {"maximum", HOIST_ISA_NAME, binary_supports, binary<maximum_of>, binary_prepare},
      {"minimum", HOIST_ISA_NAME, binary_supports, binary<minimum_of>, binary_prepare},
      {"greater_equal", HOIST_ISA_NAME, binary_supports, binary<greater_equal>, binary_prepare},
      {"equal", HOIST_ISA_NAME, binary_supports, binary<equal>, binary_prepare},
      {"broadcast_like", HOIST_ISA_NAME, like_supports, broadcast_like, binary_prepare},
  };
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
