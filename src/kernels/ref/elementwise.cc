// Elementwise ops and broadcasting, activations and swiglu. A result may alias an operand of its size: each
// element is read before it is written.
#include "ops/elementwise.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// ---- one operand ----

double neg(double x) { return -x; }
double rsqrt(double x) { return 1 / std::sqrt(x); }
double reciprocal(double x) { return 1 / x; }
double square(double x) { return x * x; }
double relu(double x) { return x >= 0 || std::isnan(x) ? x : 0; }
double is_finite(double x) { return std::isfinite(x) ? 1 : 0; }
double exp_of(double x) { return std::exp(x); }
double log_of(double x) { return std::log(x); }
double sqrt_of(double x) { return std::sqrt(x); }
double tanh_of(double x) { return std::tanh(x); }
double erf_of(double x) { return std::erf(x); }

void run_affine(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::AffineAttrs>();
  map_elements(args, [&](double x) { return a.scale * x + a.shift; });
}

void run_cast(const KernelArgs& args) noexcept {
  const int64_t n = args.results[0].elements();
  dispatch(args.operands[0].dtype, [&](auto from) {
    dispatch(args.results[0].dtype, [&](auto to) {
      const auto* x = args.in<decltype(from)>(0);
      auto* y = args.out<decltype(to)>(0);
      // Integers do not go through double: i64 would lose bits.
      if constexpr (std::is_integral_v<decltype(from)> && std::is_integral_v<decltype(to)>)
        for (int64_t i = 0; i < n; ++i) y[i] = static_cast<decltype(to)>(x[i]);
      else
        for (int64_t i = 0; i < n; ++i) put(y[i], get(x[i]));
    });
  });
}

// ---- two operands, broadcast by name ----

// Called through a pointer, so that the loops of all dtypes are compiled once and not once for each op.
[[gnu::noinline]] void map_pairs(const KernelArgs& args, double (*f)(double, double)) {
  const Space space(args.prepared.as<Nest>(), args);
  dispatch(args.operands[0].dtype, [&](auto t) {
    dispatch_float(args.results[0].dtype, [&](auto r) {
      using T = decltype(t);
      const T *x = args.in<T>(0), *y = args.in<T>(1);
      auto* out = args.out<decltype(r)>(0);
      space.each([&](const Offsets& at) { put(out[at[2]], f(get(x[at[0]]), get(y[at[1]]))); });
    });
  });
}

template <double (*f)(double, double)>
void run_binary(const KernelArgs& args) noexcept {
  map_pairs(args, f);
}

double add(double x, double y) { return x + y; }
double sub(double x, double y) { return x - y; }
double mul(double x, double y) { return x * y; }
double div(double x, double y) { return x / y; }
// The first operand at ties, as the gradient has it; NaN if either is.
double maximum(double x, double y) { return x >= y || std::isnan(x) ? x : y; }
double minimum(double x, double y) { return x <= y || std::isnan(x) ? x : y; }
double greater_equal(double x, double y) { return x >= y ? 1 : 0; }
double equal(double x, double y) { return x == y ? 1 : 0; }

void run_select(const KernelArgs& args) noexcept {
  const int64_t n = args.results[0].elements();
  dispatch_float(args.operands[0].dtype, [&](auto c) {
    dispatch_width(args.operands[1].dtype, [&](auto t) {
      using T = decltype(t);
      const auto* cond = args.in<decltype(c)>(0);
      const T *x = args.in<T>(1), *y = args.in<T>(2);
      for (int64_t i = 0; i < n; ++i) args.out<T>(0)[i] = get(cond[i]) != 0 ? x[i] : y[i];
    });
  });
}

constexpr Kernel unary_kernel(std::string_view op, void (*run)(const KernelArgs&) noexcept) {
  return {op, "ref", supports_dense, run};
}
constexpr Kernel binary_kernel(std::string_view op, void (*run)(const KernelArgs&) noexcept) {
  return {op, "ref", supports_dense, run, prepare_result_nest};
}

}  // namespace

Kernels elementwise_kernels() {
  static constexpr Kernel kKernels[] = {
      unary_kernel("neg", run_unary<neg>),
      unary_kernel("exp", run_unary<exp_of>),
      unary_kernel("log", run_unary<log_of>),
      unary_kernel("sqrt", run_unary<sqrt_of>),
      unary_kernel("rsqrt", run_unary<rsqrt>),
      unary_kernel("reciprocal", run_unary<reciprocal>),
      unary_kernel("square", run_unary<square>),
      unary_kernel("tanh", run_unary<tanh_of>),
      unary_kernel("erf", run_unary<erf_of>),
      unary_kernel("sigmoid", run_unary<sigmoid>),
      unary_kernel("relu", run_unary<relu>),
      unary_kernel("is_finite", run_unary<is_finite>),
      unary_kernel("affine", run_affine),
      unary_kernel("cast", run_cast),
      unary_kernel("select", run_select),
      binary_kernel("add", run_binary<add>),
      binary_kernel("sub", run_binary<sub>),
      binary_kernel("mul", run_binary<mul>),
      binary_kernel("div", run_binary<div>),
      binary_kernel("maximum", run_binary<maximum>),
      binary_kernel("minimum", run_binary<minimum>),
      binary_kernel("greater_equal", run_binary<greater_equal>),
      binary_kernel("equal", run_binary<equal>),
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
