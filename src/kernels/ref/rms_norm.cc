// Rows of n: x [rows, n], gamma [n], statistics [rows].
#include "ops/rms_norm.h"

#include <algorithm>

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

void run_rms_norm(const KernelArgs& args) noexcept {
  const double eps = args.attrs.as<ops::RmsNormAttrs>().eps;
  const bool offset = args.attrs.as<ops::RmsNormAttrs>().offset;
  const Rows r(args.operands[0]);
  dispatch_with_statistics(args.operands[0].dtype, [&](auto t, auto s) {
    using T = decltype(t);
    for (int64_t i = 0; i < r.rows; ++i) {
      const T* x = args.in<T>(0) + i * r.n;
      double sum = 0;
      for (int64_t j = 0; j < r.n; ++j) sum += get(x[j]) * get(x[j]);
      const double rstd = 1 / std::sqrt(sum / static_cast<double>(r.n) + eps);
      put(args.out<decltype(s)>(1)[i], rstd);
      for (int64_t j = 0; j < r.n; ++j) {
        if (offset) {
          put(args.out<T>(0)[i * r.n + j], get(x[j]) * rstd * (1 + get(args.in<T>(1)[j])));
          continue;
        }
        T normal;
        put(normal, get(x[j]) * rstd);
        put(args.out<T>(0)[i * r.n + j], get(normal) * get(args.in<T>(1)[j]));
      }
    }
  });
}

// Sums over rows, in double.
int64_t grad_workspace(const ir::OpView& view, int) { return view.operands[0].dims.back().size * 8; }

// x, gamma, rstd, dy -> dx, dgamma
void run_rms_norm_grad(const KernelArgs& args) noexcept {
  const Rows r(args.operands[0]);
  const auto n = static_cast<double>(r.n);
  const double one = args.attrs.as<ops::RmsNormGradAttrs>().offset ? 1 : 0;
  auto* dgamma = reinterpret_cast<double*>(args.workspace);
  std::fill_n(dgamma, r.n, 0.0);
  dispatch_with_statistics(args.operands[0].dtype, [&](auto t, auto s) {
    using T = decltype(t);
    using S = decltype(s);
    const T* gamma = args.in<T>(1);
    for (int64_t i = 0; i < r.rows; ++i) {
      const T *x = args.in<T>(0) + i * r.n, *dy = args.in<T>(3) + i * r.n;
      const double rstd = get(args.in<S>(2)[i]);
      double sum = 0;
      for (int64_t j = 0; j < r.n; ++j) sum += get(dy[j]) * (one + get(gamma[j])) * get(x[j]);
      const double pull = sum * rstd * rstd * rstd / n;
      for (int64_t j = 0; j < r.n; ++j) {
        dgamma[j] += get(dy[j]) * get(x[j]) * rstd;
        put(args.out<T>(0)[i * r.n + j], get(dy[j]) * (one + get(gamma[j])) * rstd - get(x[j]) * pull);
      }
    }
    for (int64_t j = 0; j < r.n; ++j) put(args.out<S>(1)[j], dgamma[j]);
  });
}

}  // namespace

Kernels rms_norm_kernels() {
  static constexpr Kernel kKernels[] = {
      {"rms_norm", "ref", supports_dense, run_rms_norm},
      {"rms_norm_grad", "ref", supports_dense, run_rms_norm_grad, nullptr, grad_workspace},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
