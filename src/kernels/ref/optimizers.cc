#include "ops/optimizers.h"

#include "kernels/ref/any_float.h"

namespace hoist::kernels::ref {

namespace {

double scalar(const KernelArgs& args, int i) { return static_cast<double>(args.in<float>(i)[0]); }

// Results live in their operands' storage: where ok is 0, nothing is to be done.

// direction(g, before, m_before, m_now) for every element of p, m, [master].
template <class Direction>
void momentum_step(const KernelArgs& args, bool has_master, Direction direction) {
  const double lr = scalar(args, 3), scale = scalar(args, 4);
  if (scalar(args, 5) == 0) return;
  const TensorView &p = args.results[0], &m = args.results[1];
  const TensorView& truth = has_master ? args.results[2] : p;
  for (int64_t i = 0, n = p.elements(); i < n; ++i) {
    const double before = load(truth, i);
    double moment = load(m, i);
    const double u = direction(load(args.operands[1], i) * scale, before, moment);
    store(m, i, moment);
    store(truth, i, before - lr * u);
    if (has_master) store(p, i, load(truth, i));
  }
}

void sgd(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::SgdAttrs>();
  momentum_step(args, a.has_master, [&](double g, double p, double& m) {
    g += a.decay * p;
    m = a.momentum * m + g;
    return a.nesterov ? g + a.momentum * m : m;
  });
}

void lion(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::LionAttrs>();
  momentum_step(args, a.has_master, [&](double g, double p, double& m) {
    const double c = a.beta1 * m + (1 - a.beta1) * g;
    m = a.beta2 * m + (1 - a.beta2) * g;
    return static_cast<double>((c > 0) - (c < 0)) + a.decay * p;
  });
}

void lamb_direction(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::LambAttrs>();
  const TensorView &u = args.results[0], &m = args.results[1], &v = args.results[2];
  const double step = scalar(args, 4), scale = scalar(args, 5);
  const bool ok = scalar(args, 6) != 0;
  const double m_correction = 1 - std::pow(a.beta1, step), v_correction = 1 - std::pow(a.beta2, step);
  for (int64_t i = 0, n = u.elements(); i < n; ++i) {
    if (!ok) {
      store(u, i, 0);
      continue;
    }
    const double g = load(args.operands[1], i) * scale;
    const double m_now = a.beta1 * load(m, i) + (1 - a.beta1) * g;
    const double v_now = a.beta2 * load(v, i) + (1 - a.beta2) * g * g;
    store(u, i,
          m_now / m_correction / (std::sqrt(v_now / v_correction) + a.eps) +
              a.decay * load(args.operands[0], i));
    store(m, i, m_now);
    store(v, i, v_now);
  }
}

void descend(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::DescendAttrs>();
  const double rate = scalar(args, 2), shrink = scalar(args, 3) * a.decay;
  if (scalar(args, 4) == 0) return;
  const TensorView& p = args.results[0];
  const TensorView& truth = a.has_master ? args.results[1] : p;
  for (int64_t i = 0, n = p.elements(); i < n; ++i) {
    const double before = load(truth, i);
    store(truth, i, before - shrink * before - rate * load(args.operands[1], i));
    if (a.has_master) store(p, i, load(truth, i));
  }
}

void ema(const KernelArgs& args) noexcept {
  const double rest = 1 - args.attrs.as<ops::EmaAttrs>().decay;
  if (scalar(args, 2) == 0) return;
  const TensorView& e = args.results[0];
  for (int64_t i = 0, n = e.elements(); i < n; ++i)
    store(e, i, load(e, i) + rest * (load(args.operands[1], i) - load(e, i)));
}

}  // namespace

Kernels optimizers_kernels() {
  static constexpr Kernel kKernels[] = {
      {"sgd", "ref", supports_dense, [](const KernelArgs& args) noexcept { sgd(args); }},
      {"lion", "ref", supports_dense, [](const KernelArgs& args) noexcept { lion(args); }},
      {"lamb_direction", "ref", supports_dense,
       [](const KernelArgs& args) noexcept { lamb_direction(args); }},
      {"descend", "ref", supports_dense, [](const KernelArgs& args) noexcept { descend(args); }},
      {"ema", "ref", supports_dense, [](const KernelArgs& args) noexcept { ema(args); }},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
