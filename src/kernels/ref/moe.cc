#include "ops/moe.h"

#include <algorithm>

#include "kernels/cpu/gemm/panels.h"
#include "kernels/ref/any_float.h"

namespace hoist::kernels::ref {

namespace {

void route_sort(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::RouteSortAttrs>();
  const int64_t pairs = args.operands[0].elements(), experts = args.results[2].elements();
  const int32_t* expert = args.in<int32_t>(0);
  int32_t *source = args.out<int32_t>(0), *position = args.out<int32_t>(1), *counts = args.out<int32_t>(2),
          *token = args.out<int32_t>(3);
  const int64_t choices = args.operands[0].dims[1];
  auto local = [&](int64_t i) { return expert[i] - a.base; };
  int32_t row = 0;
  auto take = [&](int64_t i) {
    source[row] = static_cast<int32_t>(i);
    token[row] = static_cast<int32_t>(i / choices);
    position[i] = row++;
  };
  for (int64_t e = 0; e < experts; ++e) {
    const int32_t first = row;
    for (int64_t i = 0; i < pairs; ++i)
      if (local(i) == e) take(i);
    counts[e] = row - first;
  }
  for (int64_t i = 0; i < pairs; ++i)
    if (local(i) < 0 || local(i) >= experts) take(i);
  for (; row < args.results[0].elements(); ++row) source[row] = token[row] = -1;
}

// Elements of t per index of its outermost dimension.
int64_t row_size(const TensorView& t) {
  int64_t n = 1;
  for (int i = 1; i < t.dims.size(); ++i) n *= t.dims[i];
  return n;
}

// Calls f(expert, begin, end) for the part of every expert's run that lies in this piece, both counted from
// the piece's first; expert is -1 when it lies in another piece, and for the rows past all runs.
template <class F>
void each_run(const KernelArgs& args, int64_t experts, F f) {
  const auto& a = args.attrs.as<ops::GroupedAttrs>();
  const TensorView& counts = args.operands[2];
  const int64_t rows = args.operands[0].dims[0];
  int64_t run = -a.row_base;  // where the next run begins
  auto clip = [&](int64_t row) { return std::clamp<int64_t>(row, 0, rows); };
  for (int64_t e = 0; e < counts.dims[0]; ++e) {
    const int64_t local = e - a.expert_base, end = run + std::max(counts.as<const int32_t>()[e], 0);
    f(local >= 0 && local < experts ? local : -1, clip(run), clip(end));
    run = end;
  }
  f(int64_t{-1}, clip(run), rows);
}

// The nest's axes: rows, out, summed, experts.
void grouped_contract(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  const TensorView &x = args.operands[0], &w = args.operands[1], &y = args.results[0];
  const int out = y.dims.size(), summed = out + x.dims.size() - 1;
  each_run(args, w.dims[0], [&](int64_t expert, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      Offsets start = space.start();
      start[0] = row * row_size(x);
      start[1] = std::max<int64_t>(expert, 0) * row_size(w);
      start[3] = row * row_size(y);
      space.each(1, out, start, [&](const Offsets& to) {
        double sum = 0;
        if (expert >= 0)
          space.each(out, summed, to, [&](const Offsets& at) { sum += load(x, at[0]) * load(w, at[1]); });
        store(y, to[3], sum);
      });
    }
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
  const PanelNest p{prepared.as<Nest>(), cpu::panel_table(v.operands[1])};
  prepared.store(p);
}
int64_t panels_workspace(const ir::OpView& v, int) {
  const cpu::PanelTable t = cpu::panel_table(v.operands[1]);
  return t.k * 4 + 64 + cpu::panel_row_scratch(t);
}
void grouped_contract_panels(const KernelArgs& args) noexcept {
  const PanelNest& p = args.prepared.as<PanelNest>();
  const Space space(p.nest, args);
  const TensorView &x = args.operands[0], &w = args.operands[1], &y = args.results[0];
  const int out = y.dims.size(), summed = out + x.dims.size() - 1;
  float* values = reinterpret_cast<float*>(args.workspace);
  std::byte* scratch = args.workspace + (p.table.k * 4 + 63) / 64 * 64;
  each_run(args, w.dims[0], [&](int64_t expert, int64_t begin, int64_t end) {
    if (begin == end) return;
    Offsets start = space.start();
    start[0] = begin * row_size(x);
    start[1] = std::max<int64_t>(expert, 0) * row_size(w);
    start[3] = begin * row_size(y);
    space.each(1, out, start, [&](const Offsets& to) {
      const int64_t n =
          to[1] / std::max<int64_t>(p.table.k, 1);  // the offset of a dense tensor tells the row
      if (expert >= 0)
        cpu::read_panel_row(p.table, w.data, n, DType::f32, reinterpret_cast<std::byte*>(values), scratch);
      for (int64_t row = begin; row < end; ++row) {
        Offsets at_row = to;
        at_row[0] += (row - begin) * row_size(x);
        double sum = 0;
        if (expert >= 0)
          space.each(out, summed, at_row, [&](const Offsets& at) {
            sum += load(x, at[0]) * static_cast<double>(values[at[1] - n * p.table.k]);
          });
        store(y, to[3] + (row - begin) * row_size(y), sum);
      }
    });
  });
}

// The nest's axes: experts, out, rows.
void grouped_outer(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  const TensorView &x = args.operands[0], &y = args.operands[1], &result = args.results[0];
  each_run(args, result.dims[0], [&](int64_t expert, int64_t begin, int64_t end) {
    if (expert < 0) return;
    Offsets start = space.start();
    start[3] = expert * row_size(result);
    space.each(1, result.dims.size(), start, [&](const Offsets& at) {
      double sum = 0;
      for (int64_t row = begin; row < end; ++row)
        sum += load(x, at[0] + row * row_size(x)) * load(y, at[1] + row * row_size(y));
      store(result, at[3], sum);
    });
  });
}

}  // namespace

Kernels moe_kernels() {
  static constexpr Kernel kKernels[] = {
      {"route_sort", "ref", supports_dense, route_sort},
      {"grouped_contract", "ref", supports_dense, grouped_contract, prepare_result_nest},
      {"grouped_contract", "ref", supports_panels, grouped_contract_panels, prepare_panels, panels_workspace},
      {"grouped_outer", "ref", supports_dense, grouped_outer, prepare_result_nest},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
