#include "ops/constants.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

void run_full(const KernelArgs& args) noexcept {
  const double value = args.attrs.as<ops::FullAttrs>().value;
  const int64_t n = args.results[0].elements();
  dispatch(args.results[0].dtype, [&](auto t) {
    auto* y = args.out<decltype(t)>(0);
    for (int64_t i = 0; i < n; ++i) put(y[i], value);
  });
}

void run_iota(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::IotaAttrs>().base, n = args.results[0].elements();
  dispatch(args.results[0].dtype, [&](auto t) {
    auto* y = args.out<decltype(t)>(0);
    for (int64_t i = 0; i < n; ++i) put(y[i], static_cast<double>(base + i));
  });
}

void run_values(const KernelArgs& args) noexcept {
  const NumberList& values = args.attrs.as<ops::ValuesAttrs>().values;
  for (int i = 0; i < values.size(); ++i) args.out<float>(0)[i] = static_cast<float>(values[i]);
}

// ids [rows] -> [rows, n]
void run_one_hot(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::OneHotAttrs>().base;
  const Rows r(args.results[0]);
  const int32_t* ids = args.in<int32_t>(0);
  dispatch_float(args.results[0].dtype, [&](auto t) {
    auto* y = args.out<decltype(t)>(0);
    for (int64_t i = 0; i < r.rows; ++i)
      for (int64_t j = 0; j < r.n; ++j) put(y[i * r.n + j], ids[i] == base + j ? 1 : 0);
  });
}

}  // namespace

Kernels constants_kernels() {
  static constexpr Kernel kKernels[] = {
      {"full", "ref", supports_dense, run_full},
      {"iota", "ref", supports_dense, run_iota},
      {"values", "ref", supports_dense, run_values},
      {"one_hot", "ref", supports_dense, run_one_hot},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
