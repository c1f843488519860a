// silu, gelu, swiglu and their gradients: elementwise over flat storage.
#include "ops/activation.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/activation.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/exp_normal.inc"

constexpr int64_t kGrain = 4096;  // these cost about ten times a copy

// body(T{}, i, left) for every vector of n elements.
template <class Body>
void for_vectors(const KernelArgs& args, Body body) {
  with_type(args.operands[0].dtype, [&](auto tag) {
    args.pool.parallel_for(args.operands[0].elements(), kGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; i += W) body(tag, i, end - i);
    });
  });
}

HOIST_INLINE F sigmoid(F x) { return set(1.0f) / (set(1.0f) + vexp_normal(-x)); }
HOIST_INLINE F silu(F x) { return x / (set(1.0f) + vexp_normal(-x)); }
HOIST_INLINE F silu_slope(F x) {
  F s = sigmoid(x);
  return s * fma(x, set(1.0f) - s, set(1.0f));
}
// 0.5 x (1 + tanh(u)) = x sigmoid(2 u) with u = sqrt(2/pi) (x + 0.044715 x^3): one exponential, and nothing
// cancels where tanh is near -1.
HOIST_INLINE F gelu_tanh(F x) {
  F twice = set(1.59576912f) * fma(x * x * set(0.044715f), x, x);
  return x / (set(1.0f) + vexp_normal(-twice));
}
HOIST_INLINE F gelu_tanh_slope(F x) {  // s + x s (1 - s) (2 u)', s = sigmoid(2 u)
  F square = x * x;
  F s = sigmoid(set(1.59576912f) * fma(square * set(0.044715f), x, x));
  F inner = set(1.59576912f) * fma(square, set(3 * 0.044715f), set(1.0f));
  F slope = fma(x * inner, s * (set(1.0f) - s), s);
  return s == set(0) ? set(0) : slope;  // far out, where inner overflows
}
HOIST_INLINE F gelu_erf_slope(F x) {  // Phi(x) + x phi(x)
  F density = vexp_normal(x * x * set(-0.5f)) * set(0.39894228f);
  return fma(x, density, fma(verf(x * set(0.70710678f)), set(0.5f), set(0.5f)));
}

template <F (*fn)(F)>
void unary(const KernelArgs& args) noexcept {
  for_vectors(args, [&](auto tag, int64_t i, int64_t left) {
    using T = decltype(tag);
    store_tail(args.out<T>(0) + i, fn(load_tail(args.in<T>(0) + i, left)), left);
  });
}

// x, dy -> dx
template <F (*slope)(F)>
void unary_grad(const KernelArgs& args) noexcept {
  for_vectors(args, [&](auto tag, int64_t i, int64_t left) {
    using T = decltype(tag);
    store_tail(args.out<T>(0) + i,
               slope(load_tail(args.in<T>(0) + i, left)) * load_tail(args.in<T>(1) + i, left), left);
  });
}

void swiglu(const KernelArgs& args) noexcept {
  for_vectors(args, [&](auto tag, int64_t i, int64_t left) {
    using T = decltype(tag);
    store_tail(args.out<T>(0) + i,
               silu(load_tail(args.in<T>(0) + i, left)) * load_tail(args.in<T>(1) + i, left), left);
  });
}

// gate, up, dy -> dgate, dup
void swiglu_grad(const KernelArgs& args) noexcept {
  for_vectors(args, [&](auto tag, int64_t i, int64_t left) {
    using T = decltype(tag);
    F gate = load_tail(args.in<T>(0) + i, left), up = load_tail(args.in<T>(1) + i, left);
    F dy = load_tail(args.in<T>(2) + i, left), s = sigmoid(gate);
    F dgate = dy * up * s * fma(gate, set(1.0f) - s, set(1.0f)), dup = dy * gate * s;
    store_tail(args.out<T>(0) + i, dgate, left);
    store_tail(args.out<T>(1) + i, dup, left);
  });
}

}  // namespace

void add_activation(KernelList& list) {
  static const Kernel kernels[] = {
      {"silu", HOIST_ISA_NAME, narrow_floats, unary<silu>},
      {"gelu_tanh", HOIST_ISA_NAME, narrow_floats, unary<gelu_tanh>},
      {"gelu_erf", HOIST_ISA_NAME, narrow_floats, unary<vgelu_erf>},
      {"silu_grad", HOIST_ISA_NAME, narrow_floats, unary_grad<silu_slope>},
      {"gelu_tanh_grad", HOIST_ISA_NAME, narrow_floats, unary_grad<gelu_tanh_slope>},
      {"gelu_erf_grad", HOIST_ISA_NAME, narrow_floats, unary_grad<gelu_erf_slope>},
      {"swiglu", HOIST_ISA_NAME, narrow_floats, swiglu},
      {"swiglu_grad", HOIST_ISA_NAME, narrow_floats, swiglu_grad},
  };
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
