// x as [outer, channels, inner].
#include "ops/batch_norm.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

struct Channels {
  int8_t dim;
};
template <class Attrs>
void prepare(const ir::OpView& view, Prepared& prepared) {
  prepared.store(Channels{static_cast<int8_t>(view.operands[0].find(view.attrs_as<Attrs>().axis))});
}
// each(index) for every element of channel c.
template <class Each>
void over_channel(const Around& a, int64_t c, Each each) {
  for (int64_t o = 0; o < a.outer; ++o)
    for (int64_t i = 0; i < a.inner; ++i) each((o * a.n + c) * a.inner + i);
}

void run_batch_norm(const KernelArgs& args) noexcept {
  const double eps = args.attrs.as<ops::BatchNormAttrs>().eps;
  const Around a(args.operands[0], args.prepared.as<Channels>().dim);
  const double n = static_cast<double>(a.outer * a.inner);
  dispatch_with_statistics(args.operands[0].dtype, [&](auto t, auto s) {
    using T = decltype(t);
    using S = decltype(s);
    const T* x = args.in<T>(0);
    for (int64_t c = 0; c < a.n; ++c) {
      double mean = 0, squares = 0;
      over_channel(a, c, [&](int64_t i) { mean += get(x[i]); });
      mean /= n;
      over_channel(a, c, [&](int64_t i) { squares += (get(x[i]) - mean) * (get(x[i]) - mean); });
      const double rstd = 1 / std::sqrt(squares / n + eps);
      put(args.out<S>(1)[c], mean);
      put(args.out<S>(2)[c], rstd);
      over_channel(a, c, [&](int64_t i) {
        put(args.out<T>(0)[i], (get(x[i]) - mean) * rstd * get(args.in<T>(1)[c]) + get(args.in<T>(2)[c]));
      });
    }
  });
}

// x, gamma, mean, rstd, dy -> dx, dgamma, dbeta
void run_batch_norm_grad(const KernelArgs& args) noexcept {
  const Around a(args.operands[0], args.prepared.as<Channels>().dim);
  const double n = static_cast<double>(a.outer * a.inner);
  dispatch_with_statistics(args.operands[0].dtype, [&](auto t, auto s) {
    using T = decltype(t);
    using S = decltype(s);
    const T *x = args.in<T>(0), *dy = args.in<T>(4);
    for (int64_t c = 0; c < a.n; ++c) {
      const double mean = get(args.in<S>(2)[c]), rstd = get(args.in<S>(3)[c]), gamma = get(args.in<T>(1)[c]);
      double sum = 0, along = 0;
      over_channel(a, c, [&](int64_t i) {
        sum += get(dy[i]);
        along += get(dy[i]) * (get(x[i]) - mean) * rstd;
      });
      put(args.out<S>(1)[c], along);
      put(args.out<S>(2)[c], sum);
      over_channel(a, c, [&](int64_t i) {
        const double normal = (get(x[i]) - mean) * rstd;
        put(args.out<T>(0)[i], gamma * rstd * (get(dy[i]) - sum / n - normal * along / n));
      });
    }
  });
}

// x, gamma, beta, mean, variance
void run_inference(const KernelArgs& args) noexcept {
  const double eps = args.attrs.as<ops::BatchNormAttrs>().eps;
  const Around a(args.operands[0], args.prepared.as<Channels>().dim);
  dispatch_with_statistics(args.operands[0].dtype, [&](auto t, auto s) {
    using T = decltype(t);
    using S = decltype(s);
    const T* x = args.in<T>(0);
    for (int64_t c = 0; c < a.n; ++c) {
      const double mean = get(args.in<S>(3)[c]), rstd = 1 / std::sqrt(get(args.in<S>(4)[c]) + eps);
      over_channel(a, c, [&](int64_t i) {
        put(args.out<T>(0)[i], (get(x[i]) - mean) * rstd * get(args.in<T>(1)[c]) + get(args.in<T>(2)[c]));
      });
    }
  });
}

}  // namespace

Kernels batch_norm_kernels() {
  static constexpr Kernel kKernels[] = {
      {"batch_norm", "ref", supports_dense, run_batch_norm, prepare<ops::BatchNormAttrs>},
      {"batch_norm_grad", "ref", supports_dense, run_batch_norm_grad, prepare<ops::BatchNormGradAttrs>},
      {"batch_norm_inference", "ref", supports_dense, run_inference, prepare<ops::BatchNormAttrs>},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
