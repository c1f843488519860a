#include "ops/contract.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// Result axes outside, contracted axes inside.
void run_contract(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  const int kept = args.results[0].dims.size();
  dispatch_float(args.operands[0].dtype, [&](auto tx) {
    dispatch_float(args.operands[1].dtype, [&](auto ty) {
      const auto* x = args.in<decltype(tx)>(0);
      const auto* y = args.in<decltype(ty)>(1);
      dispatch_float(args.results[0].dtype, [&](auto tz) {
        space.each(0, kept, space.start(), [&](const Offsets& row) {
          double sum = 0;
          space.each(kept, space.axes(), row,
                     [&](const Offsets& at) { sum += get(x[at[0]]) * get(y[at[1]]); });
          put(args.out<decltype(tz)>(0)[row[2]], sum);
        });
      });
    });
  });
}

}  // namespace

Kernels contract_kernels() {
  static constexpr Kernel kKernels[] = {
      {"contract", "ref", supports_dense, run_contract, prepare_result_nest}};
  return kKernels;
}

}  // namespace hoist::kernels::ref
