#include "kernels/cpu/gemm/epilogue.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/gemm/epilogue.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

using ops::Activation;

HOIST_INLINE F relu(F x) { return x >= set(0) ? x : (x != x ? x : set(0)); }

// x[i] = f(x[i], i) for whole vectors and what is left.
template <class Body>
HOIST_INLINE void each(float* x, int64_t n, Body f) {
  for (int64_t i = 0; i < n; i += W) store_tail(x + i, f(load_tail(x + i, n - i), i), n - i);
}

void activate(Activation activation, float* x, int64_t n) {
  switch (activation) {
    case Activation::kNone: break;
    case Activation::kRelu: return each(x, n, [](F v, int64_t) { return relu(v); });
    case Activation::kSilu: return each(x, n, [](F v, int64_t) { return vsilu(v); });
    case Activation::kGeluTanh: return each(x, n, [](F v, int64_t) { return vgelu_tanh(v); });
    case Activation::kGeluErf: return each(x, n, [](F v, int64_t) { return vgelu_erf(v); });
  }
}

// n values at `from` of any narrow type, as they are or, where they are f32 already, where they lie.
const float* widened(DType type, const std::byte* from, int64_t at, int64_t n, float* to) {
  if (type == DType::f32) return reinterpret_cast<const float*>(from) + at;
  with_type(type, [&](auto tag) {
    const auto* p = reinterpret_cast<const decltype(tag)*>(from) + at;
    for (int64_t i = 0; i < n; i += W) store_tail(to + i, load_tail(p + i, n - i), n - i);
  });
  return to;
}

}  // namespace

void finish(const Epilogue& e, const TileOfSums& t) {
  constexpr int64_t kStep = 64;
  alignas(64) float buffer[kStep];
  for (int64_t r = 0; r < t.rows; ++r)
    for (int64_t j = 0; j < t.n; j += kStep) {
      const int64_t n = std::min(kStep, t.n - j), at = t.at[r] + t.column + j;
      float* x = t.x + r * t.stride + j;
      if (e.scale != 1) each(x, n, [&](F v, int64_t) { return v * set(e.scale); });
      if (e.bias) {
        const float* y = widened(e.bias_type, e.bias, t.column + j, n, buffer);
        each(x, n, [&](F v, int64_t i) { return v + load_tail(y + i, n - i); });
      }
      activate(e.activation, x, n);
      if (e.gate) {
        const float* y = widened(t.c_type, e.gate, at, n, buffer);
        if (e.gate_activation != Activation::kNone) {
          if (y != buffer) std::copy_n(y, n, buffer);
          activate(e.gate_activation, buffer, n);
          y = buffer;
        }
        each(x, n, [&](F v, int64_t i) { return load_tail(y + i, n - i) * v; });
      }
      if (e.residual) {
        const float* y = widened(t.c_type, e.residual, at, n, buffer);
        each(x, n, [&](F v, int64_t i) { return load_tail(y + i, n - i) + v; });
      }
    }
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
