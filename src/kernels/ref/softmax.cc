#include "ops/softmax.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

void prepare(const ir::OpView& view, Prepared& prepared) {
  prepared.store(view.operands[0].find(view.attrs_as<ops::SoftmaxAttrs>().axis));
}

// n elements, `step` apart.
template <class T>
struct Line {
  T* data;
  int64_t n, step;
  T& operator[](int64_t i) const { return data[i * step]; }
};

// Calls f(i, start) for every line along the prepared dimension: its number, and the offset of its first
// element.
template <class F>
void each_line(const KernelArgs& args, F&& f) {
  const Around a(args.operands[0], args.prepared.as<int>());
  for (int64_t o = 0; o < a.outer; ++o)
    for (int64_t i = 0; i < a.inner; ++i) f(o * a.inner + i, o * a.n * a.inner + i, a);
}

// max and sum of exp(x - max); a line of minus infinities has sum 0 and a max that is finite.
template <class T>
void statistics(Line<const T> x, double* max, double* sum) {
  *max = -1e300;
  for (int64_t i = 0; i < x.n; ++i)
    if (double v = get(x[i]); v > *max || std::isnan(v)) *max = v;
  *sum = 0;
  for (int64_t i = 0; i < x.n; ++i) *sum += std::exp(get(x[i]) - *max);
}

void run_softmax(const KernelArgs& args) noexcept {
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    each_line(args, [&](int64_t, int64_t start, const Around& a) {
      const Line<const T> x{args.in<T>(0) + start, a.n, a.inner};
      const Line<T> y{args.out<T>(0) + start, a.n, a.inner};
      double max, sum;
      statistics(x, &max, &sum);
      for (int64_t i = 0; i < a.n; ++i) put(y[i], sum == 0 ? 0 : std::exp(get(x[i]) - max) / sum);
    });
  });
}

void run_softmax_grad(const KernelArgs& args) noexcept {
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    each_line(args, [&](int64_t, int64_t start, const Around& a) {
      const Line<const T> y{args.in<T>(0) + start, a.n, a.inner}, dy{args.in<T>(1) + start, a.n, a.inner};
      const Line<T> dx{args.out<T>(0) + start, a.n, a.inner};
      double sum = 0;
      for (int64_t i = 0; i < a.n; ++i) sum += get(y[i]) * get(dy[i]);
      for (int64_t i = 0; i < a.n; ++i) put(dx[i], get(y[i]) * (get(dy[i]) - sum));
    });
  });
}

void run_log_sum_exp(const KernelArgs& args) noexcept {
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    dispatch_statistics(args.results[0].dtype, [&](auto s) {
      each_line(args, [&](int64_t line, int64_t start, const Around& a) {
        double max, sum;
        statistics(Line<const T>{args.in<T>(0) + start, a.n, a.inner}, &max, &sum);
        put(args.out<decltype(s)>(0)[line], std::log(sum) + max);
      });
    });
  });
}

}  // namespace

Kernels softmax_kernels() {
  static constexpr Kernel kKernels[] = {
      {"softmax", "ref", supports_dense, run_softmax, prepare},
      {"softmax_grad", "ref", supports_dense, run_softmax_grad, prepare},
      {"log_sum_exp", "ref", supports_dense, run_log_sum_exp, prepare},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
