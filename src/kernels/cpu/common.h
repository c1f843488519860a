// What the sources of this folder share besides vectors: checks, sizes and grains.
#pragma once

#include <algorithm>

#include "kernels/kernel.h"

namespace hoist::kernels::cpu {

// f32, bf16, f16: what the vector kernels compute with; f64 is left to the reference kernels.
inline bool narrow_float(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }

// Every floating-point operand and result is dense and at most 32 bits wide.
inline bool narrow_floats(const ir::OpView& v) {
  auto fits = [](const ir::Type& t) { return t.dtype != DType::f64 && t.format.empty(); };
  return std::all_of(v.operands.begin(), v.operands.end(), fits) &&
         std::all_of(v.results.begin(), v.results.end(), fits);
}

inline bool innermost(const ir::Type& t, Symbol axis) { return t.rank() > 0 && t.dims.back().axis == axis; }

// Rows of the innermost axis.
inline int64_t row_length(const TensorView& t) { return t.dims.empty() ? 1 : t.dims.back(); }
// Also of an empty axis: its sums and maxima are results all the same.
inline int64_t row_count(const TensorView& t) {
  int64_t n = 1;
  for (int i = 0; i + 1 < t.dims.size(); ++i) n *= t.dims[i];
  return n;
}

// Items a worker takes at once, so that a call to the pool is worth its price. `cost` is in elements.
inline int64_t grain_for(int64_t cost) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(cost, 1)); }

inline int64_t align64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Sums over rows are made of these blocks, in order (the law of order).
constexpr int64_t kRowBlock = 32;
inline int64_t row_blocks(int64_t rows) { return (rows + kRowBlock - 1) / kRowBlock; }

}  // namespace hoist::kernels::cpu
