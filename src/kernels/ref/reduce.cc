#include "ops/reduce.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// Result axes outside, reduced axes inside, each in x's order.
template <double (*f)(double, double)>
void reduce(const KernelArgs& args, double identity) {
  const Space space(args.prepared.as<Nest>(), args);
  const int kept = args.results[0].dims.size();
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    space.each(0, kept, space.start(), [&](const Offsets& row) {
      double value = identity;
      space.each(kept, space.axes(), row,
                 [&](const Offsets& at) { value = f(value, get(args.in<T>(0)[at[0]])); });
      put(args.out<T>(0)[row[1]], value);
    });
  });
}

double plus(double x, double y) { return x + y; }
double larger(double x, double y) { return y > x || std::isnan(y) ? y : x; }

void run_broadcast_like(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  dispatch_width(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    space.each([&](const Offsets& at) { args.out<T>(0)[at[2]] = args.in<T>(0)[at[0]]; });
  });
}

}  // namespace

Kernels reduce_kernels() {
  static constexpr Kernel kKernels[] = {
      {"reduce_sum", "ref", supports_dense, [](const KernelArgs& args) noexcept { reduce<plus>(args, 0); },
       prepare_result_nest},
      {"reduce_max", "ref", supports_dense,
       [](const KernelArgs& args) noexcept {
         reduce<larger>(args, -std::numeric_limits<double>::infinity());
       },
       prepare_result_nest},
      {"broadcast_like", "ref", supports_dense, run_broadcast_like, prepare_result_nest},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
