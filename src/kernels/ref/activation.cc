#include "ops/activation.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

constexpr double kInvSqrt2Pi = 0.39894228040143268;

double gelu_tanh_slope(double x) {
  const double t = gelu_tanh_inner(x);
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kSqrt2OverPi * (1 + 3 * 0.044715 * x * x);
}
double gelu_erf_slope(double x) { return normal_cdf(x) + x * kInvSqrt2Pi * std::exp(-0.5 * x * x); }

// x, dy -> dy * slope(x)
template <double (*slope)(double)>
void run_slope(const KernelArgs& args) noexcept {
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    const T *x = args.in<T>(0), *dy = args.in<T>(1);
    T* dx = args.out<T>(0);
    const int64_t n = args.results[0].elements();
    for (int64_t i = 0; i < n; ++i) put(dx[i], get(dy[i]) * slope(get(x[i])));
  });
}

}  // namespace

Kernels activation_kernels() {
  static constexpr Kernel kKernels[] = {
      {"silu", "ref", supports_dense, run_unary<silu>},
      {"gelu_tanh", "ref", supports_dense, run_unary<gelu_tanh>},
      {"gelu_erf", "ref", supports_dense, run_unary<gelu_erf>},
      {"silu_grad", "ref", supports_dense, run_slope<silu_slope>},
      {"gelu_tanh_grad", "ref", supports_dense, run_slope<gelu_tanh_slope>},
      {"gelu_erf_grad", "ref", supports_dense, run_slope<gelu_erf_slope>},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
