#include "ops/contract.h"

#include "kernels/cpu/gemm/panels.h"
#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

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
void store(const KernelArgs& args, int64_t at, double value) {
  dispatch_float(args.results[0].dtype, [&](auto t) { put(args.out<decltype(t)>(0)[at], value); });
}

// Result axes outside, contracted axes inside.
void run_contract(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  const int kept = args.results[0].dims.size();
  const auto load = loader(args.operands[1].dtype);
  const void* y = args.operands[1].data;
  dispatch_float(args.operands[0].dtype, [&](auto tx) {
    const auto* x = args.in<decltype(tx)>(0);
    space.each(0, kept, space.start(), [&](const Offsets& row) {
      double sum = 0;
      space.each(kept, space.axes(), row, [&](const Offsets& at) { sum += get(x[at[0]]) * load(y, at[1]); });
      store(args, row[2], sum);
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
void run_panels(const KernelArgs& args) noexcept {
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
      store(args, row[2], sum);
    });
  });
}

}  // namespace

Kernels contract_kernels() {
  static constexpr Kernel kKernels[] = {
      {"contract", "ref", supports_dense, run_contract, prepare_result_nest},
      {"contract", "ref", supports_panels, run_panels, prepare_panels, panels_workspace}};
  return kKernels;
}

}  // namespace hoist::kernels::ref
