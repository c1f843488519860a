#include "ops/rope.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// One f32 rounding per step, as transformers computes them.
void run_frequencies(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::RopeFrequenciesAttrs>();
  const std::string_view scaling = a.scaling.name();
  const auto factor = static_cast<float>(a.factor), low = static_cast<float>(a.low),
             high = static_cast<float>(a.high);
  const auto original = static_cast<float>(a.original);
  const int64_t half = args.results[0].elements();
  for (int64_t j = 0; j < half; ++j) {
    const float exponent = static_cast<float>(2 * j) / static_cast<float>(a.dim);
    float f = 1.0f / static_cast<float>(std::pow(a.theta, static_cast<double>(exponent)));
    if (scaling == "linear") f /= factor;
    if (scaling == "llama3") {
      const float wavelength = static_cast<float>(2 * 3.14159265358979323846) / f;
      if (wavelength > original / low) {
        f /= factor;
      } else if (wavelength >= original / high) {
        const float smooth = (original / wavelength - low) / (high - low);
        f = (1 - smooth) * f / factor + smooth * f;
      }
    }
    args.out<float>(0)[j] = f;
  }
}

// Over x's leading axes.
void prepare(const ir::OpView& view, Prepared& prepared) {
  AxisList leading;
  for (const ir::Dim& d : view.operands[0].dims)
    if (!(d.axis == view.attrs_as<ops::RopeAttrs>().axis)) leading.push_back(d.axis);
  prepared.store(make_nest(view, leading));
}

void run_rope(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::RopeAttrs>();
  const int64_t half = args.operands[2].elements(), channels = args.operands[0].dims.back();
  const Space space(args.prepared.as<Nest>(), args);
  const float* freqs = args.in<float>(2);
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    space.each([&](const Offsets& at) {
      const T* x = args.in<T>(0) + at[0];
      T* y = args.out<T>(0) + at[3];
      const auto pos = static_cast<float>(args.in<int32_t>(1)[at[1]]);
      for (int64_t j = 0; j < half; ++j) {
        const auto angle = static_cast<double>(pos * freqs[j]);
        const double cos = a.scale * std::cos(angle),
                     sin = (a.inverse ? -a.scale : a.scale) * std::sin(angle);
        const int64_t first = a.interleaved ? 2 * j : j, second = a.interleaved ? 2 * j + 1 : j + half;
        const double x0 = get(x[first]), x1 = get(x[second]);
        put(y[first], x0 * cos - x1 * sin);
        put(y[second], x1 * cos + x0 * sin);
      }
      for (int64_t j = 2 * half; j < channels; ++j) y[j] = x[j];
    });
  });
}

}  // namespace

Kernels rope_kernels() {
  static constexpr Kernel kKernels[] = {
      {"rope_frequencies", "ref", supports_dense, run_frequencies},
      {"rope", "ref", supports_dense, run_rope, prepare},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
