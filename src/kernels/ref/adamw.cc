#include "ops/adamw.h"

#include <algorithm>

#include "kernels/ref/any_float.h"

namespace hoist::kernels::ref {

namespace {

void adamw(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::AdamwAttrs>();
  auto scalar = [&](int i) { return static_cast<double>(args.in<float>(i)[0]); };
  const double lr = scalar(4), step = scalar(5), scale = scalar(6);
  if (scalar(7) == 0) return;  // results live in their operands' storage: nothing changes
  const double m_correction = 1 - std::pow(a.beta1, step), v_correction = 1 - std::pow(a.beta2, step);
  const TensorView &p = args.results[0], &m = args.results[1], &v = args.results[2];
  const TensorView& truth = a.has_master ? args.results[3] : p;
  for (int64_t i = 0, n = p.elements(); i < n; ++i) {
    const double g = load(args.operands[1], i) * scale;
    const double m_now = a.beta1 * load(m, i) + (1 - a.beta1) * g;
    const double v_now = a.beta2 * load(v, i) + (1 - a.beta2) * g * g;
    const double before = load(truth, i);
    const double direction = m_now / m_correction / (std::sqrt(v_now / v_correction) + a.eps);
    const double after = before - lr * (direction + a.decay * before);
    store(m, i, m_now);
    store(v, i, v_now);
    store(truth, i, after);
    if (a.has_master) store(p, i, load(truth, i));
  }
}

void sum_squares(const KernelArgs& args) noexcept {
  constexpr int64_t kBlock = 4096;
  const TensorView& x = args.operands[0];
  double total = 0;
  for (int64_t at = 0, n = x.elements(); at < n; at += kBlock) {
    double block = 0;
    for (int64_t i = at; i < std::min(at + kBlock, n); ++i) block += load(x, i) * load(x, i);
    total += block;
  }
  store(args.results[0], 0, total);
}

}  // namespace

Kernels adamw_kernels() {
  static constexpr Kernel kKernels[] = {
      {"adamw", "ref", supports_dense, [](const KernelArgs& args) noexcept { adamw(args); }},
      {"sum_squares", "ref", supports_dense, [](const KernelArgs& args) noexcept { sum_squares(args); }},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
