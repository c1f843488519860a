#include "ops/triangle_multiply.h"

#include "kernels/ref/any_float.h"

namespace hoist::kernels::ref {

namespace {

// The nest's axes: leading, i, j, c, then k. Outgoing or incoming is a matter of strides.
void triangle_multiply(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  const int kept = args.results[0].dims.size();
  space.each(0, kept, space.start(), [&](const Offsets& to) {
    double sum = 0;
    space.each(kept, space.axes(), to, [&](const Offsets& at) {
      sum += load(args.operands[0], at[0]) * load(args.operands[1], at[1]);
    });
    store(args.results[0], to[2], sum);
  });
}

}  // namespace

Kernels triangle_multiply_kernels() {
  static constexpr Kernel kKernels[] = {
      {"triangle_multiply", "ref", supports_dense, triangle_multiply, prepare_result_nest},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
