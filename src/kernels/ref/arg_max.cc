#include "ops/arg_max.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

template <class A>
void prepare(const ir::OpView& view, Prepared& prepared) {
  prepared.store(view.operands[0].find(view.attrs_as<A>().axis));
}

void run_arg_max(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::ArgMaxAttrs>().base;
  const Around a(args.operands[0], args.prepared.as<int>());
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    for (int64_t o = 0; o < a.outer; ++o)
      for (int64_t i = 0; i < a.inner; ++i) {
        const T* x = args.in<T>(0) + o * a.n * a.inner + i;
        int64_t best = 0;
        for (int64_t j = 1; j < a.n; ++j)
          if (get(x[j * a.inner]) > get(x[best * a.inner])) best = j;
        args.out<T>(0)[o * a.inner + i] = x[best * a.inner];
        args.out<int32_t>(1)[o * a.inner + i] = static_cast<int32_t>(base + best);
      }
  });
}

// k rounds, each taking the largest element that comes after the last taken one in (value descending, index)
// order.
void run_top_k(const KernelArgs& args) noexcept {
  const int64_t k = args.attrs.as<ops::TopKAttrs>().k;
  const Around a(args.operands[0], args.prepared.as<int>());
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    for (int64_t o = 0; o < a.outer; ++o)
      for (int64_t i = 0; i < a.inner; ++i) {
        const T* x = args.in<T>(0) + o * a.n * a.inner + i;
        auto at = [&](int64_t j) { return get(x[j * a.inner]); };
        int64_t last = -1;
        for (int64_t c = 0; c < k; ++c) {
          int64_t best = -1;
          for (int64_t j = 0; j < a.n; ++j) {
            const bool left = last < 0 || at(j) < at(last) || (at(j) == at(last) && j > last);
            if (left && (best < 0 || at(j) > at(best))) best = j;
          }
          if (best < 0) best = last < 0 ? 0 : last;  // only NaNs are left
          args.out<T>(0)[(o * k + c) * a.inner + i] = x[best * a.inner];
          args.out<int32_t>(1)[(o * k + c) * a.inner + i] = static_cast<int32_t>(best);
          last = best;
        }
      }
  });
}

}  // namespace

Kernels arg_max_kernels() {
  static constexpr Kernel kKernels[] = {
      {"arg_max", "ref", supports_dense, run_arg_max, prepare<ops::ArgMaxAttrs>},
      {"top_k", "ref", supports_dense, run_top_k, prepare<ops::TopKAttrs>},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
