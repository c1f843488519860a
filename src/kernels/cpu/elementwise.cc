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

template <F (*fn)(F)>
void unary(const KernelArgs& args) noexcept {
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; i += W)
        store_tail(args.out<T>(0) + i, fn(load_tail(args.in<T>(0) + i, end - i)), end - i);
    });
  });
}

void affine(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::AffineAttrs>();
  const F scale = set(static_cast<float>(a.scale)), shift = set(static_cast<float>(a.shift));
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; i += W)
        store_tail(args.out<T>(0) + i, load_tail(args.in<T>(0) + i, end - i) * scale + shift, end - i);
    });
  });
}

void cast(const KernelArgs& args) noexcept {
  with_type(args.operands[0].dtype, [&](auto from) {
    with_type(args.results[0].dtype, [&](auto to) {
      using S = decltype(from);
      using T = decltype(to);
      args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; i += W)
          store_tail(args.out<T>(0) + i, load_tail(args.in<S>(0) + i, end - i), end - i);
      });
    });
  });
}

// cond, x, y of one shape.
void select(const KernelArgs& args) noexcept {
  with_type(args.operands[1].dtype, [&](auto tag) {
    with_type(args.operands[0].dtype, [&](auto cond_tag) {
      using T = decltype(tag);
      using C = decltype(cond_tag);
      args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; i += W) {
          const int64_t left = end - i;
          F c = load_tail(args.in<C>(0) + i, left);
          store_tail(args.out<T>(0) + i,
                     c != set(0) ? load_tail(args.in<T>(1) + i, left) : load_tail(args.in<T>(2) + i, left),
                     left);
        }
      });
    });
  });
}

// out[i] = fn(large, small) over large's shape [outer, mid, inner]; `flip`: the small one is the first
// argument.
template <F (*fn)(F, F), class T>
void broadcast(const KernelArgs& args, const T* large, const T* small, bool flip, int64_t outer, int64_t mid,
               int64_t inner) {
  T* out = args.out<T>(0);
  auto apply = [&](F x, F y) { return flip ? fn(y, x) : fn(x, y); };
  if (inner == 1) {  // rows of mid
    args.pool.parallel_for(outer, grain_for(mid), [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const T* x = large + row * mid;
        T* y = out + row * mid;
        for (int64_t i = 0; i < mid; i += W)
          store_tail(y + i, apply(load_tail(x + i, mid - i), load_tail(small + i, mid - i)), mid - i);
      }
    });
    return;
  }
  const int64_t piece = std::max<int64_t>(1, inner / kGrain), step = (inner + piece - 1) / piece;
  args.pool.parallel_for(outer * mid * piece, grain_for(step), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row / piece;
      const F value = set(load_n(small + at % mid, 1)[0]);
      const int64_t stop = std::min(inner, (row % piece + 1) * step);
      for (int64_t i = row % piece * step; i < stop; i += W)
        store_tail(out + at * inner + i, apply(load_tail(large + at * inner + i, stop - i), value), stop - i);
    }
  });
}

template <F (*fn)(F, F)>
void binary(const KernelArgs& args) noexcept {
  const BroadcastPlan& p = args.prepared.as<BroadcastPlan>();
  with_type(args.operands[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    if (p.small < 0) {
      args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; i += W)
          store_tail(args.out<T>(0) + i,
                     fn(load_tail(args.in<T>(0) + i, end - i), load_tail(args.in<T>(1) + i, end - i)),
                     end - i);
      });
      return;
    }
    const TensorView& large = args.operands[static_cast<size_t>(1 - p.small)];
    int64_t outer = 1, mid = 1, inner = 1;
    for (int i = 0; i < large.dims.size(); ++i)
      (i < p.first ? outer : i < p.last ? mid : inner) *= large.dims[i];
    broadcast<fn>(args, args.in<T>(1 - p.small), args.in<T>(p.small), p.small == 0, outer, mid, inner);
  });
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
