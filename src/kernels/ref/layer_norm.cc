// Rows of n: x [rows, n], gamma [n], statistics [rows].
#include "ops/layer_norm.h"

#include <algorithm>

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

void run_layer_norm(const KernelArgs& args) noexcept {
  const double eps = args.attrs.as<ops::LayerNormAttrs>().eps;
  const Rows r(args.operands[0]);
  const auto n = static_cast<double>(r.n);
  dispatch_with_statistics(args.operands[0].dtype, [&](auto t, auto s) {
    using T = decltype(t);
    using S = decltype(s);
    const T *gamma = args.in<T>(1), *beta = args.in<T>(2);
    for (int64_t i = 0; i < r.rows; ++i) {
      const T* x = args.in<T>(0) + i * r.n;
      double mean = 0, squares = 0;
      for (int64_t j = 0; j < r.n; ++j) mean += get(x[j]);
      mean /= n;
      for (int64_t j = 0; j < r.n; ++j) squares += (get(x[j]) - mean) * (get(x[j]) - mean);
      const double rstd = 1 / std::sqrt(squares / n + eps);
      put(args.out<S>(1)[i], mean);
      put(args.out<S>(2)[i], rstd);
      for (int64_t j = 0; j < r.n; ++j)
        put(args.out<T>(0)[i * r.n + j], (get(x[j]) - mean) * rstd * get(gamma[j]) + get(beta[j]));
    }
  });
}

// Sums over rows, in double.
int64_t grad_workspace(const ir::OpView& view, int) { return view.operands[0].dims.back().size * 16; }

// x, gamma, mean, rstd, dy -> dx, dgamma, dbeta
void run_layer_norm_grad(const KernelArgs& args) noexcept {
  const Rows r(args.operands[0]);
  const auto n = static_cast<double>(r.n);
  auto* dgamma = reinterpret_cast<double*>(args.workspace);
  double* dbeta = dgamma + r.n;
  std::fill_n(dgamma, 2 * r.n, 0.0);
  dispatch_with_statistics(args.operands[0].dtype, [&](auto t, auto s) {
    using T = decltype(t);
    using S = decltype(s);
    const T* gamma = args.in<T>(1);
    for (int64_t i = 0; i < r.rows; ++i) {
      const T *x = args.in<T>(0) + i * r.n, *dy = args.in<T>(4) + i * r.n;
      const double mean = get(args.in<S>(2)[i]), rstd = get(args.in<S>(3)[i]);
      double sum = 0, along = 0;
      for (int64_t j = 0; j < r.n; ++j) {
        const double scaled = get(dy[j]) * get(gamma[j]);
        sum += scaled;
        along += scaled * (get(x[j]) - mean) * rstd;
      }
      for (int64_t j = 0; j < r.n; ++j) {
        const double normal = (get(x[j]) - mean) * rstd;
        dgamma[j] += get(dy[j]) * normal;
        dbeta[j] += get(dy[j]);
        put(args.out<T>(0)[i * r.n + j], rstd * (get(dy[j]) * get(gamma[j]) - sum / n - normal * along / n));
      }
    }
    for (int64_t j = 0; j < r.n; ++j) {
      put(args.out<S>(1)[j], dgamma[j]);
      put(args.out<S>(2)[j], dbeta[j]);
    }
  });
}

}  // namespace

Kernels layer_norm_kernels() {
  static constexpr Kernel kKernels[] = {
      {"layer_norm", "ref", supports_dense, run_layer_norm},
      {"layer_norm_grad", "ref", supports_dense, run_layer_norm_grad, nullptr, grad_workspace},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
