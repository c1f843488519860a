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

// Element `at` of each operand and the result: what linear does after the sum.
double finish(const KernelArgs& args, const Offsets& at, double y) {
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
  return y;
}

// Reads an element as a double. Through a pointer, the loops below are compiled for one operand's dtypes, not
// for all pairs.
using Load = double (*)(const void* data, int64_t at);
Load loader(DType dtype) {
  Load load = nullptr;
  dispatch_float(dtype, [&](auto t) {
    load = [](const void* data, int64_t at) { return get(static_cast<const decltype(t)*>(data)[at]); };
  });
  return load;
}

// Looks at the dtype for each element, which a sum over many costs little and saves a loop for each of them.
void store(const KernelArgs& args, const Offsets& at, bool linear, double sum) {
  if (linear) sum = finish(args, at, sum);
  dispatch_float(args.results[0].dtype, [&](auto t) {
    put(args.out<decltype(t)>(0)[at[static_cast<int>(args.operands.size())]], sum);
  });
}

// Result axes outside, contracted axes inside.
void run_contract(const KernelArgs& args, bool linear) {
  const Space space(args.prepared.as<Nest>(), args);
  const int kept = args.results[0].dims.size();
  const auto load = loader(args.operands[1].dtype);
  const void* y = args.operands[1].data;
  dispatch_float(args.operands[0].dtype, [&](auto tx) {
    const auto* x = args.in<decltype(tx)>(0);
    space.each(0, kept, space.start(), [&](const Offsets& row) {
      double sum = 0;
      space.each(kept, space.axes(), row, [&](const Offsets& at) { sum += get(x[at[0]]) * load(y, at[1]); });
      store(args, row, linear, sum);
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
void run_panels(const KernelArgs& args, bool linear) {
  const PanelNest& p = args.prepared.as<PanelNest>();
  const Space space(p.nest, args);
  const int kept = args.results[0].dims.size();
  float* w = reinterpret_cast<float*>(args.workspace);
  std::byte* scratch = args.workspace + (p.table.k * 4 + 63) / 64 * 64;
  int64_t held = -1;
  dispatch_float(args.operands[0].dtype, [&](auto tx) {
    const auto* x = args.in<decltype(tx)>(0);
    space.each(0, kept, space.start(), [&](const Offsets& row) {
      const int64_t n = row[1] / p.table.k;  // the offset of a dense tensor tells the row
      if (n != held)
        cpu::read_panel_row(p.table, args.operands[1].data, n, DType::f32, reinterpret_cast<std::byte*>(w),
                            scratch);
      held = n;
      double sum = 0;
      space.each(kept, space.axes(), row,
                 [&](const Offsets& at) { sum += get(x[at[0]]) * w[at[1] - n * p.table.k]; });
      store(args, row, linear, sum);
    });
  });
}

}  // namespace

Kernels contract_kernels() {
  static constexpr Kernel kKernels[] = {
      {"contract", "ref", supports_dense, [](const KernelArgs& a) noexcept { run_contract(a, false); },
       prepare_result_nest},
      {"contract", "ref", supports_panels, [](const KernelArgs& a) noexcept { run_panels(a, false); },
       prepare_panels, panels_workspace},
      {"linear", "ref", supports_dense, [](const KernelArgs& a) noexcept { run_contract(a, true); },
       prepare_result_nest},
      {"linear", "ref", supports_panels, [](const KernelArgs& a) noexcept { run_panels(a, true); },
       prepare_panels, panels_workspace}};
  return kKernels;
}

}  // namespace hoist::kernels::ref
