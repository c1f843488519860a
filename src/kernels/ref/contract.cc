#include "ops/contract.h"

#include "kernels/cpu/gemm/panels.h"
#include "kernels/ref/ref.h"
#include "ops/linear.h"

namespace hoist::kernels::ref {

namespace {

double activate(double x, Symbol name) {
  ops::Activation activation = ops::Activation::kNone;
  ops::find_activation(name, &activation);
  switch (activation) {
    case ops::Activation::kNone: break;
    case ops::Activation::kRelu: return x > 0 || std::isnan(x) ? x : 0;
    case ops::Activation::kSilu: return silu(x);
    case ops::Activation::kGeluTanh: return gelu_tanh(x);
    case ops::Activation::kGeluErf: return gelu_erf(x);
  }
  return x;
}

// Element `at` of each operand and the result: what linear does after the sum; nothing for contract.
template <bool kLinear>
double finish(const KernelArgs& args, const Offsets& at, double y) {
  if constexpr (kLinear) {
    const auto& a = args.attrs.as<ops::LinearAttrs>();
    const ops::LinearPlaces places(a);
    auto value = [&](int8_t place) {
      double x = 0;
      dispatch_float(args.operands[static_cast<size_t>(place)].dtype,
                     [&](auto t) { x = get(args.in<decltype(t)>(place)[at[place]]); });
      return x;
    };
    y *= a.scale;
    if (a.bias) y += value(places.bias);
    y = activate(y, a.activation);
    if (a.gate) y *= activate(value(places.gate), a.gate_activation);
    if (a.residual) y += value(places.residual);
  }
  return y;
}

// Result axes outside, contracted axes inside.
template <bool kLinear>
void run_contract(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  const int kept = args.results[0].dims.size(), result = static_cast<int>(args.operands.size());
  dispatch_float(args.operands[0].dtype, [&](auto tx) {
    dispatch_float(args.operands[1].dtype, [&](auto ty) {
      const auto* x = args.in<decltype(tx)>(0);
      const auto* y = args.in<decltype(ty)>(1);
      dispatch_float(args.results[0].dtype, [&](auto tz) {
        space.each(0, kept, space.start(), [&](const Offsets& row) {
          double sum = 0;
          space.each(kept, space.axes(), row,
                     [&](const Offsets& at) { sum += get(x[at[0]]) * get(y[at[1]]); });
          put(args.out<decltype(tz)>(0)[row[result]], finish<kLinear>(args, row, sum));
        });
      });
    });
  });
}

// Weights in panels: a row at a time is unpacked to its published values, then as above.
bool supports_panels(const ir::OpView& v) {
  const ir::Format* f = ir::find_format(v.operands[1].format);
  return f && f->panel && v.operands[0].format.empty();
}
struct PanelNest {
  Nest nest;
  cpu::PanelTable table;
};
void prepare_panels(const ir::OpView& v, Prepared& prepared) {
  prepare_result_nest(v, prepared);
  PanelNest p{prepared.as<Nest>(), cpu::panel_table(v.operands[1])};
  prepared.store(p);
}
int64_t panels_workspace(const ir::OpView& v, int) {
  const cpu::PanelTable t = cpu::panel_table(v.operands[1]);
  return t.k * 4 + 64 + cpu::panel_row_scratch(t);
}
template <bool kLinear>
void run_panels(const KernelArgs& args) noexcept {
  const PanelNest& p = args.prepared.as<PanelNest>();
  const Space space(p.nest, args);
  const int kept = args.results[0].dims.size(), result = static_cast<int>(args.operands.size());
  float* w = reinterpret_cast<float*>(args.workspace);
  std::byte* scratch = args.workspace + (p.table.k * 4 + 63) / 64 * 64;
  int64_t held = -1;
  dispatch_float(args.operands[0].dtype, [&](auto tx) {
    const auto* x = args.in<decltype(tx)>(0);
    dispatch_float(args.results[0].dtype, [&](auto tz) {
      space.each(0, kept, space.start(), [&](const Offsets& row) {
        const int64_t n = row[1] / p.table.k;  // the offset of a dense tensor tells the row
        if (n != held)
          cpu::read_panel_row(p.table, args.operands[1].data, n, DType::f32, reinterpret_cast<std::byte*>(w),
                              scratch);
        held = n;
        double sum = 0;
        space.each(kept, space.axes(), row,
                   [&](const Offsets& at) { sum += get(x[at[0]]) * w[at[1] - n * p.table.k]; });
        put(args.out<decltype(tz)>(0)[row[result]], finish<kLinear>(args, row, sum));
      });
    });
  });
}

}  // namespace

Kernels contract_kernels() {
  static constexpr Kernel kKernels[] = {
      {"contract", "ref", supports_dense, run_contract<false>, prepare_result_nest},
      {"contract", "ref", supports_panels, run_panels<false>, prepare_panels, panels_workspace},
      {"linear", "ref", supports_dense, run_contract<true>, prepare_result_nest},
      {"linear", "ref", supports_panels, run_panels<true>, prepare_panels, panels_workspace}};
  return kKernels;
}

}  // namespace hoist::kernels::ref
