#include "ops/block_states.h"

#include <algorithm>

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// Calls f(first element, length, index of the scale) for every block.
template <class F>
void each_block(const TensorView& codes, F f) {
  const int64_t n = codes.dims.back(), rows = n ? codes.elements() / n : 0;
  int64_t scale = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t at = 0; at < n; at += ops::kStateBlock)
      f(r * n + at, std::min(ops::kStateBlock, n - at), scale++);
}

void load_blocks(const KernelArgs& args) noexcept {
  const auto& values = ops::dynamic_code(args.attrs.as<ops::BlockStateAttrs>().is_signed).values;
  each_block(args.operands[0], [&](int64_t at, int64_t n, int64_t scale) {
    for (int64_t i = at; i < at + n; ++i)
      args.out<float>(0)[i] = values[args.in<uint8_t>(0)[i]] * args.in<float>(1)[scale];
  });
}

void save_blocks(const KernelArgs& args) noexcept {
  if (args.in<float>(3)[0] == 0) return;  // results are the operands' storage
  const ops::DynamicCode& code = ops::dynamic_code(args.attrs.as<ops::BlockStateAttrs>().is_signed);
  const float* x = args.in<float>(0);
  each_block(args.results[0], [&](int64_t at, int64_t n, int64_t scale) {
    float most = 0;
    for (int64_t i = at; i < at + n; ++i) most = std::max(most, std::abs(x[i]));
    args.out<float>(1)[scale] = most;
    for (int64_t i = at; i < at + n; ++i) {
      const float share = x[i] / (most > 0 ? most : 1.0f);
      int best = 0;
      while (best < 255 && share > code.middles[static_cast<size_t>(best)]) ++best;
      args.out<uint8_t>(0)[i] = static_cast<uint8_t>(best);
    }
  });
}

bool supports_all(const ir::OpView&) { return true; }

}  // namespace

Kernels block_states_kernels() {
  static constexpr Kernel kKernels[] = {
      {"load_blocks", "ref", supports_all, [](const KernelArgs& args) noexcept { load_blocks(args); }},
      {"save_blocks", "ref", supports_all, [](const KernelArgs& args) noexcept { save_blocks(args); }},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
