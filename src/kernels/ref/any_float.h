// Element access by index to tensors whose float dtypes may differ, for kernels with many operands. Slower
// than dispatching once over the dtype, and short.
#pragma once

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

inline double load(const TensorView& t, int64_t i) {
  switch (t.dtype) {
    case DType::f32: return get(t.as<const float>()[i]);
    case DType::f64: return t.as<const double>()[i];
    case DType::bf16: return get(t.as<const bf16>()[i]);
    case DType::f16: return get(t.as<const f16>()[i]);
    default: HOIST_CHECK(false, "a float kernel met an integer tensor");
  }
}

inline void store(const TensorView& t, int64_t i, double x) {
  switch (t.dtype) {
    case DType::f32: return put(t.as<float>()[i], x);
    case DType::f64: return put(t.as<double>()[i], x);
    case DType::bf16: return put(t.as<bf16>()[i], x);
    case DType::f16: return put(t.as<f16>()[i], x);
    default: HOIST_CHECK(false, "a float kernel met an integer tensor");
  }
}

inline double* doubles(std::byte* workspace) { return reinterpret_cast<double*>(workspace); }

// Scores of softmax attention (ops/attention.h): soft cap, and its derivative by the scaled product.
inline double capped(double s, double cap) { return cap > 0 ? cap * std::tanh(s / cap) : s; }
inline double cap_slope(double s, double cap) {
  if (cap <= 0) return 1;
  const double t = std::tanh(s / cap);
  return 1 - t * t;
}

}  // namespace hoist::kernels::ref
