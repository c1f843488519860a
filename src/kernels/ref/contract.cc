#include "ops/contract.h"

#include "kernels/cpu/gemm/panels.h"
#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// Result axes outside, contracted axes inside.
void run_contract(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  const int kept = args.results[0].dims.size();
  dispatch_float(args.operands[0].dtype, [&](auto tx) {
    dispatch_float(args.operands[1].dtype, [&](auto ty) {
      const auto* x = args.in<decltype(tx)>(0);
      const auto* y = args.in<decltype(ty)>(1);
      dispatch_float(args.results[0].dtype, [&](auto tz) {
        space.each(0, kept, space.start(), [&](const Offsets& row) {
          double sum = 0;
          space.each(kept, space.axes(), row,
                     [&](const Offsets& at) { sum += get(x[at[0]]) * get(y[at[1]]); });
          put(args.out<decltype(tz)>(0)[row[2]], sum);
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
void run_panels(const KernelArgs& args) noexcept {
  const PanelNest& p = args.prepared.as<PanelNest>();
  const Space space(p.nest, args);
  const int kept = args.results[0].dims.size();
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
        put(args.out<decltype(tz)>(0)[row[2]], sum);
      });
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
