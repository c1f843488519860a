#include "ops/retention.h"

#include "kernels/ref/any_float.h"

namespace hoist::kernels::ref {

namespace {

// The recurrent form, head by head; the running state is the second result.
void retention(const KernelArgs& args) noexcept {
  const TensorView &q = args.operands[0], &k = args.operands[1], &v = args.operands[2],
                   &decay = args.operands[3];
  const TensorView &o = args.results[0], &state = args.results[1];
  const int lead = q.dims.size() - 3;
  const int64_t n = q.dims[lead], heads = q.dims[lead + 1], d = q.dims[lead + 2], dv = v.dims[lead + 2];
  int64_t leads = 1;
  for (int i = 0; i < lead; ++i) leads *= q.dims[i];
  for (int64_t l = 0; l < leads; ++l)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t e = 0; e < dv; ++e) {
        const int64_t head = l * heads + h;
        const double gamma = load(decay, h);
        auto cell = [&](int64_t i) { return (head * d + i) * dv + e; };
        for (int64_t i = 0; i < d; ++i) store(state, cell(i), load(args.operands[4], cell(i)));
        for (int64_t at = 0; at < n; ++at) {
          const int64_t row = (l * n + at) * heads + h;
          const double value = load(v, row * dv + e);
          double sum = 0;
          for (int64_t i = 0; i < d; ++i) {
            store(state, cell(i), gamma * load(state, cell(i)) + load(k, row * d + i) * value);
            sum += load(q, row * d + i) * load(state, cell(i));
          }
          store(o, row * dv + e, sum);
        }
      }
}

}  // namespace

Kernels retention_kernels() {
  static constexpr Kernel kKernels[] = {
      {"retention", "ref", supports_dense, [](const KernelArgs& args) noexcept { retention(args); }},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
