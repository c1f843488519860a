#include "ops/cross_entropy.h"

#include <algorithm>

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// logits [rows, n], targets [rows] -> lse [rows], picked [rows]
void run_cross_entropy(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::CrossEntropyAttrs>().base;
  const Rows r(args.operands[0]);
  const int32_t* targets = args.in<int32_t>(1);
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    dispatch_statistics(args.results[0].dtype, [&](auto s) {
      for (int64_t i = 0; i < r.rows; ++i) {
        const auto* x = args.in<decltype(t)>(0) + i * r.n;
        double max = -1e300, sum = 0;
        for (int64_t j = 0; j < r.n; ++j)
          if (double v = get(x[j]); v > max || std::isnan(v)) max = v;
        for (int64_t j = 0; j < r.n; ++j) sum += std::exp(get(x[j]) - max);
        put(args.out<decltype(s)>(0)[i], std::log(sum) + max);
        const int64_t target = targets[i] - base;
        put(args.out<decltype(s)>(1)[i], target >= 0 && target < r.n ? get(x[target]) : 0);
      }
    });
  });
}

// logits, targets, lse, dlse, dpicked -> dlogits
void run_cross_entropy_grad(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::CrossEntropyAttrs>().base;
  const Rows r(args.operands[0]);
  const int32_t* targets = args.in<int32_t>(1);
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    dispatch_statistics(args.operands[2].dtype, [&](auto s) {
      using T = decltype(t);
      using S = decltype(s);
      for (int64_t i = 0; i < r.rows; ++i) {
        const double lse = std::max(get(args.in<S>(2)[i]), -1e30), dlse = get(args.in<S>(3)[i]),
                     dpicked = get(args.in<S>(4)[i]);
        for (int64_t j = i * r.n; j < (i + 1) * r.n; ++j) {
          const double dense = std::exp(get(args.in<T>(0)[j]) - lse) * dlse;
          put(args.out<T>(0)[j], dense + (targets[i] == base + j - i * r.n ? dpicked : 0));
        }
      }
    });
  });
}

}  // namespace

Kernels cross_entropy_kernels() {
  static constexpr Kernel kKernels[] = {
      {"cross_entropy", "ref", supports_dense, run_cross_entropy},
      {"cross_entropy_grad", "ref", supports_dense, run_cross_entropy_grad},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
