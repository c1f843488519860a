// What reference kernels share: element access through double, dispatch over dtypes, loops over named axes.
//
// Reference kernels are the oracle that other backends are tested against: plain loops, sums in double and in
// index order, one rounding at the end. They run on the calling thread and touch nothing but their operands
// and results. A source of this folder holds the kernels of one op header and hands them over as a list
// (below).
#pragma once

#include <cmath>
#include <limits>
#include <span>

#include "base/dtype.h"
#include "kernels/kernel.h"

namespace hoist::kernels::ref {

// ---- elements ----

template <class T>
double get(T x) {
  if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>)
    return static_cast<double>(to_float(x));
  else
    return static_cast<double>(x);
}

// Rounds to nearest for floats; towards zero, saturating, NaN to 0, for integers.
template <class T>
void put(T& to, double x) {
  if constexpr (std::is_same_v<T, bf16>) {
    to = to_bf16(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, f16>) {
    to = to_f16(static_cast<float>(x));
  } else if constexpr (std::is_floating_point_v<T>) {
    to = static_cast<T>(x);
  } else {
    constexpr double kLow = static_cast<double>(std::numeric_limits<T>::min());
    constexpr double kHigh = static_cast<double>(std::numeric_limits<T>::max());
    to = std::isnan(x) ? T{0}
         : x <= kLow   ? std::numeric_limits<T>::min()
         : x >= kHigh  ? std::numeric_limits<T>::max()
                       : static_cast<T>(x);
  }
}

// Calls f(T{}) with T the element type.
template <class F>
void dispatch_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f(float{});
    case DType::f64: return f(double{});
    case DType::bf16: return f(bf16{});
    case DType::f16: return f(f16{});
    default: HOIST_CHECK(false, "a float kernel met an integer tensor");
  }
}
template <class F>
void dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::i32: return f(int32_t{});
    case DType::i64: return f(int64_t{});
    case DType::u8: return f(uint8_t{});
    case DType::i8: return f(int8_t{});
    default: return dispatch_float(dtype, f);
  }
}
// T an unsigned integer of the element's width: for kernels that only move elements.
template <class F>
void dispatch_width(DType dtype, F&& f) {
  switch (dtype_size(dtype)) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    default: return f(uint64_t{});
  }
}
// Statistics are f32, or f64 beside f64 tensors.
template <class F>
void dispatch_statistics(DType dtype, F&& f) {
  if (dtype == DType::f64) return f(double{});
  f(float{});
}

// Calls f(T{}, S{}) with T the element type and S that of its statistics.
template <class F>
void dispatch_with_statistics(DType dtype, F&& f) {
  dispatch_float(dtype, [&](auto t) { dispatch_statistics(dtype, [&](auto s) { f(t, s); }); });
}

// result 0 = f(operand 0), element by element.
template <class F>
void map_elements(const KernelArgs& args, F f) {
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    const T* x = args.in<T>(0);
    T* y = args.out<T>(0);
    const int64_t n = args.results[0].elements();
    for (int64_t i = 0; i < n; ++i) put(y[i], f(get(x[i])));
  });
}
template <double (*f)(double)>
void run_unary(const KernelArgs& args) noexcept {
  map_elements(args, f);
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double silu(double x) { return x * sigmoid(x); }
constexpr double kSqrt2OverPi = 0.79788456080286536, kInvSqrt2 = 0.70710678118654752;
inline double gelu_tanh_inner(double x) { return std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)); }
inline double gelu_tanh(double x) { return 0.5 * x * (1 + gelu_tanh_inner(x)); }
inline double normal_cdf(double x) { return 0.5 * (1 + std::erf(x * kInvSqrt2)); }
inline double gelu_erf(double x) { return x * normal_cdf(x); }
inline double silu_slope(double x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }

// ---- loops ----

// The shape [outer, n, inner] of a tensor around its dimension `dim`.
struct Around {
  int64_t outer = 1, n = 1, inner = 1;
  Around(const TensorView& t, int dim) {
    for (int i = 0; i < t.dims.size(); ++i) (i < dim ? outer : i == dim ? n : inner) *= t.dims[i];
  }
};
// [rows, n] of a tensor with its innermost dimension apart.
struct Rows {
  int64_t rows = 1, n = 1;
  explicit Rows(const TensorView& t) {
    for (int i = 0; i + 1 < t.dims.size(); ++i) rows *= t.dims[i];
    if (!t.dims.empty()) n = t.dims.back();
  }
};

// Which dimension each axis of a loop nest has in each tensor (operands, then results); -1: none. Found by
// name when the kernel is prepared; lengths and strides follow from the views of the run.
struct Nest {
  static constexpr int kTensors = 6, kAxes = 16;
  int8_t axes = 0, tensors = 0;
  int8_t dim[kTensors][kAxes];
};
Nest make_nest(const ir::OpView& view, std::span<const ir::Axis> axes);
// Over the axes of result 0, in its order; then those that only operands have.
Nest nest_of_result(const ir::OpView& view);
// The two above, as Kernel::prepare.
void prepare_result_nest(const ir::OpView& view, Prepared& prepared);

using Offsets = InlineVec<int64_t, Nest::kTensors>;

// A nest with the lengths and element strides of one run.
class Space {
 public:
  Space(const Nest& nest, const KernelArgs& args);
  int axes() const { return axes_; }
  // Calls f(offsets) for every index of axes [from, to) in row-major order; `at` are the offsets to start
  // from.
  template <class F>
  void each(int from, int to, Offsets at, F&& f) const {
    if (from == to) return f(at);
    for (int64_t i = 0; i < length_[from]; ++i) {
      each(from + 1, to, at, f);
      for (int t = 0; t < at.size(); ++t) at[t] += stride_[t][from];
    }
  }
  template <class F>
  void each(F&& f) const {
    each(0, axes_, start(), f);
  }
  Offsets start() const {
    Offsets at;
    for (int t = 0; t < tensors_; ++t) at.push_back(0);
    return at;
  }

 private:
  int axes_, tensors_;
  int64_t length_[Nest::kAxes], stride_[Nest::kTensors][Nest::kAxes];
};

// ---- kernels ----

// Kernel::supports of reference kernels: every dtype the op allows, no block formats.
bool supports_dense(const ir::OpView& view);

// One list per op header; table.cc strings them together.
using Kernels = std::span<const Kernel>;
Kernels activation_kernels();
Kernels adamw_kernels();
Kernels arg_max_kernels();
Kernels attention_kernels();
Kernels batch_norm_kernels();
Kernels block_states_kernels();
Kernels constants_kernels();
Kernels contract_kernels();
Kernels conv2d_kernels();
Kernels cross_entropy_kernels();
Kernels elementwise_kernels();
Kernels embedding_kernels();
Kernels layer_norm_kernels();
Kernels lstm_kernels();
Kernels moe_kernels();
Kernels optimizers_kernels();
Kernels paged_kernels();
Kernels pool2d_kernels();
Kernels reduce_kernels();
Kernels retention_kernels();
Kernels rms_norm_kernels();
Kernels rope_kernels();
Kernels shape_kernels();
Kernels softmax_kernels();
Kernels swiglu_kernels();
Kernels triangle_multiply_kernels();

}  // namespace hoist::kernels::ref
