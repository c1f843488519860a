#include "ops/swiglu.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

void run_swiglu(const KernelArgs& args) noexcept {
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    const T *gate = args.in<T>(0), *up = args.in<T>(1);
    const int64_t n = args.results[0].elements();
    for (int64_t i = 0; i < n; ++i) put(args.out<T>(0)[i], silu(get(gate[i])) * get(up[i]));
  });
}

void run_swiglu_grad(const KernelArgs& args) noexcept {
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    const T *gate = args.in<T>(0), *up = args.in<T>(1), *dy = args.in<T>(2);
    const int64_t n = args.results[0].elements();
    for (int64_t i = 0; i < n; ++i) {
      const double g = get(gate[i]), u = get(up[i]), d = get(dy[i]);
      put(args.out<T>(0)[i], d * u * silu_slope(g));
      put(args.out<T>(1)[i], d * silu(g));
    }
  });
}

}  // namespace

Kernels swiglu_kernels() {
  static constexpr Kernel kKernels[] = {
      {"swiglu", "ref", supports_dense, run_swiglu},
      {"swiglu_grad", "ref", supports_dense, run_swiglu_grad},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
