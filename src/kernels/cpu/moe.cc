// Mixture of experts: route_sort by counting, grouped products on the Gemm (gemm/gemm.h, gemm/blocks.h).
//
// An expert's product is a Gemm of its run of rows. Long runs are products of all threads, one after another.
// All others together are one list of tasks, a few columns of one expert each, so that threads find work
// whether few experts have rows or many; each task is a Gemm of its own, of one thread. The bits are those of
// contract either way (the law of order in gemm.h).
#include "ops/moe.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/axes.h"
#include "kernels/cpu/gemm/blocks.h"
#include "kernels/cpu/gemm/panels.h"
#include "kernels/cpu/gemm/schedule.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA  // once, for the plain target
namespace hoist::kernels::cpu {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool any_ids(const ir::OpView&) { return true; }

// A counting sort. Counts serve as the next row of each expert meanwhile.
void route_sort(const KernelArgs& args) noexcept {
  const int64_t base = args.attrs.as<ops::RouteSortAttrs>().base;
  const int64_t tokens = args.operands[0].dims[0], choices = args.operands[0].dims[1];
  const int64_t pairs = tokens * choices, experts = args.results[2].elements();
  const int32_t* expert = args.in<int32_t>(0);
  int32_t *source = args.out<int32_t>(0), *position = args.out<int32_t>(1), *next = args.out<int32_t>(2),
          *token = args.out<int32_t>(3);
  auto mine = [&](int64_t i) { return expert[i] >= base && expert[i] - base < experts; };
  std::fill(next, next + experts, 0);
  for (int64_t i = 0; i < pairs; ++i)
    if (mine(i)) ++next[expert[i] - base];
  int32_t row = 0;
  for (int64_t e = 0; e < experts; ++e) row += std::exchange(next[e], row);
  for (int64_t t = 0, i = 0; t < tokens; ++t)
    for (int64_t c = 0; c < choices; ++c, ++i) {
      const int32_t at = mine(i) ? next[expert[i] - base]++ : row++;
      source[at] = static_cast<int32_t>(i);
      token[at] = static_cast<int32_t>(t);
      position[i] = at;
    }
  for (; row < args.results[0].elements(); ++row) source[row] = token[row] = -1;
  for (int64_t e = experts - 1; e > 0; --e) next[e] -= next[e - 1];  // a run ends where the next begins
}

// Part of an expert's run that lies in this piece. Both count from the piece's first.
struct Run {
  int64_t expert, begin, rows;
  int64_t item;  // in a list of what is to be done for all runs: the first that is this one's
  std::byte* space;
};

int64_t row_size(const TensorView& t) {
  int64_t n = 1;
  for (int i = 1; i < t.dims.size(); ++i) n *= t.dims[i];
  return n;
}

// Calls f(expert, begin, rows) for each of this piece's `experts`, in order, whether or not it has rows here.
template <class F>
void each_run(const KernelArgs& args, int64_t experts, F f) {
  const auto& a = args.attrs.as<ops::GroupedAttrs>();
  const int32_t* counts = args.in<int32_t>(2);
  const int64_t rows = args.operands[0].dims[0];
  int64_t end = -a.row_base;  // of the run before
  auto count = [&](int64_t e) { return std::max(counts[e], 0); };
  for (int64_t e = 0; e < a.expert_base; ++e) end += count(e);
  for (int64_t e = 0; e < experts; ++e) {
    const int64_t begin = std::clamp<int64_t>(end, 0, rows);
    end += count(a.expert_base + e);
    f(e, begin, std::clamp<int64_t>(end, 0, rows) - begin);
  }
}

void fill_zeros(std::byte* to, int64_t bytes, ThreadPool& pool) {
  pool.parallel_for(bytes, 1 << 18, [&](int64_t begin, int64_t end, int) {
    std::memset(to + begin, 0, static_cast<size_t>(end - begin));
  });
}

// ---- grouped_contract ----

struct GroupedPlan {
  InlineVec<AxisPlace, 8> n, k;  // x is a, w is b
  enum class Weights : uint8_t { kDense, kPanels, kBlocks } weights = Weights::kDense;
  BlockFormat format = BlockFormat::kQ8_0;
};

int8_t place(const ir::Type& t, ir::Axis axis) { return static_cast<int8_t>(t.find(axis)); }

// n in the result's order, k in x's: as contract_prepare.
void grouped_prepare(const ir::OpView& v, Prepared& prepared) {
  const ir::Type &x = v.operands[0], &w = v.operands[1], &out = v.results[0];
  GroupedPlan p;
  for (int i = 1; i < out.rank(); ++i)
    p.n.push_back({-1, place(w, out.dims[i].axis), static_cast<int8_t>(i)});
  for (int i = 1; i < x.rank(); ++i) p.k.push_back({static_cast<int8_t>(i), place(w, x.dims[i].axis), -1});
  if (const ir::Format* f = ir::find_format(w.format)) {
    p.weights = f->base.empty() ? GroupedPlan::Weights::kPanels : GroupedPlan::Weights::kBlocks;
    if (!f->base.empty()) p.format = *block_format(f->base);
  }
  prepared.store(p);
}

// Weights in panels: their free axes must come in the result's order.
bool grouped_panels(const ir::OpView& v) {
  const ir::Type &x = v.operands[0], &w = v.operands[1], &out = v.results[0];
  const ir::Format* f = ir::find_format(w.format);
  if (x.dtype == DType::f64 || !x.format.empty() || !f || !f->panel) return false;
  for (int i = 1; i < out.rank(); ++i)
    if (w.find(out.dims[i].axis) != i) return false;
  int64_t k = 1;
  for (int i = 1; i < x.rank(); ++i) k *= x.dims[i].size;
  return f->base != "i8" || k <= kLongestI8;
}
[[maybe_unused]] bool grouped_dense_panels(const ir::OpView& v) {
  const ir::Format* f = ir::find_format(v.operands[1].format);
  return f && f->base.empty() && grouped_panels(v);
}

struct Sizes {
  int64_t rows, n, k, experts;
  explicit Sizes(const ir::OpView& v) : rows(v.operands[0].dims[0].size), n(1), k(1) {
    for (int i = 1; i < v.results[0].rank(); ++i) n *= v.results[0].dims[i].size;
    for (int i = 1; i < v.operands[0].rank(); ++i) k *= v.operands[0].dims[i].size;
    experts = v.operands[1].dims[0].size;
  }
  int64_t runs() const { return std::min(rows, experts); }
  int64_t list_bytes() const { return align64(runs() * static_cast<int64_t>(sizeof(Run))); }
};

// Rows of a run whose product is a list of tasks: a task packs all of them, within a share of its cache.
int64_t most_task_rows(int64_t n, int64_t k) {
  constexpr int64_t kBytes = 2 << 20, kStep = 48;
  if (n < kPanel) return 0;  // so narrow a product takes its sides the other way round
  return std::clamp<int64_t>(kBytes / (4 * std::max<int64_t>(k, 1)) / kStep, 1, 4) * kStep;
}

constexpr GemmSchedule kTaskSchedule{.side = GemmSchedule::Side::kStraight};

// Of one worker: a Gemm, and before it rows that are rounded to bf16.
int64_t task_bytes(int64_t rows, int64_t n, int64_t k, bool panels) {
  const int64_t m = std::min(rows, most_task_rows(n, k));
  return align64(gemm_workspace(m, n, k, 1, &kTaskSchedule) + (panels ? rounded_rows_bytes(m, k) : 0));
}

int64_t grouped_workspace(const ir::OpView& v, int threads) {
  Prepared prepared;
  grouped_prepare(v, prepared);
  const Sizes s(v);
  const auto weights = prepared.as<GroupedPlan>().weights;
  if (weights == GroupedPlan::Weights::kBlocks)  // every run fills its last rows' space
    return s.list_bytes() + block_gemm_workspace(s.rows, s.k) +
           (block_gemm_workspace(0, s.k) + 128) * s.runs();
  const bool panels = weights == GroupedPlan::Weights::kPanels;
  const int64_t whole =
      gemm_workspace(s.rows, s.n, s.k, threads) + (panels ? rounded_rows_bytes(s.rows, s.k) : 0);
  return s.list_bytes() + std::max(whole, task_bytes(s.rows, s.n, s.k, panels) * threads);
}

// What the product of every expert has in common; `m` is that of all rows.
Gemm common_gemm(const KernelArgs& args) {
  const GroupedPlan& p = args.prepared.as<GroupedPlan>();
  const TensorView &x = args.operands[0], &w = args.operands[1], &out = args.results[0];
  const GroupMaker group(x, w, out);
  Gemm g;
  g.n = group(p.n);
  g.k = group(p.k);
  g.a = x.data;
  g.b = w.data;
  g.c = out.data;
  g.a_type = x.dtype;
  g.b_type = w.dtype;
  g.c_type = out.dtype;
  g.b_panels = p.weights == GroupedPlan::Weights::kPanels;
  return g;
}

// The product of one run. `expert_bytes`: of one expert's weights.
Gemm gemm_of_run(const Gemm& common, const KernelArgs& args, const Run& run, int64_t expert_bytes) {
  const int64_t x_row = row_size(args.operands[0]), out_row = row_size(args.results[0]);
  Gemm g = common;
  g.m.add(run.rows, x_row, 0, out_row);
  g.a += run.begin * x_row * dtype_size(g.a_type);
  g.b += run.expert * expert_bytes;
  g.c += run.begin * out_row * dtype_size(g.c_type);
  return g;
}

// Keeps [begin, end) of the outermost axis of n.
void cut_columns(Gemm& g, int64_t begin, int64_t end) {
  if (g.n.count == 0) return;
  const int64_t* stride = g.n.stride[0];
  g.b += g.b_panels ? begin / kPanel * dense_panel_bytes(g.b_type, g.k.total())
                    : begin * stride[AxisGroup::kB] * dtype_size(g.b_type);
  g.c += begin * stride[AxisGroup::kC] * dtype_size(g.c_type);
  g.n.size[0] = end - begin;
}

// Runs with rows into `list`, zeros into the rows of nobody here.
int64_t list_runs(const KernelArgs& args, Run* list) {
  const int64_t rows = args.operands[0].dims[0];
  const int64_t row_bytes = row_size(args.results[0]) * dtype_size(args.results[0].dtype);
  int64_t count = 0, first = rows, last = rows;
  each_run(args, args.operands[1].dims[0], [&](int64_t expert, int64_t begin, int64_t n) {
    if (n == 0) return;
    if (count == 0) first = begin;
    last = begin + n;
    list[count++] = {expert, begin, n, 0, nullptr};
  });
  std::byte* y = args.results[0].data;
  fill_zeros(y, first * row_bytes, args.pool);
  fill_zeros(y + last * row_bytes, (rows - last) * row_bytes, args.pool);
  return count;
}

using GemmFn = void (*)(const Gemm&, std::byte*, ThreadPool&);

void contract_gemms(const KernelArgs& args, GemmFn product) {
  const TensorView& w = args.operands[1];
  Run* list = reinterpret_cast<Run*>(args.workspace);
  const Gemm common = common_gemm(args);
  const int64_t n = common.n.total(), k = common.k.total(), rows = args.operands[0].dims[0];
  const int64_t expert_bytes =
      common.b_panels ? n / kPanel * dense_panel_bytes(w.dtype, k) : row_size(w) * dtype_size(w.dtype);
  std::byte* space = args.workspace + align64(std::min(rows, w.dims[0]) * static_cast<int64_t>(sizeof(Run)));
  const int64_t runs = list_runs(args, list), most = most_task_rows(n, k), threads = args.pool.threads();
  int64_t tasks_of = 0, task_rows = 0;  // runs in tasks, moved to the front of the list, and their rows
  for (int64_t i = 0; i < runs; ++i) {
    const Run run = list[i];
    if (run.rows <= most) {
      list[tasks_of++] = run;
      task_rows += run.rows;
    } else {
      product(gemm_of_run(common, args, run, expert_bytes), space, args.pool);
    }
  }
  if (tasks_of == 0 || n == 0) return;
  // Columns are cut so that every thread gets several tasks, but not so narrow that packing rows would show.
  const int64_t outer = common.n.count ? common.n.size[0] : 1, inner = n / outer;
  constexpr int64_t kNarrowest = 96, kTile = 48;
  const int64_t wanted = threads == 1 ? 1 : ceil_div(8 * threads, tasks_of);
  int64_t step = std::max(ceil_div(outer, wanted), ceil_div(kNarrowest, inner));
  if (inner == 1) step = ceil_div(step, kTile) * kTile;
  const int64_t cuts = ceil_div(outer, step), worker_bytes = task_bytes(rows, n, k, common.b_panels);
  const int64_t work = task_rows * std::min(step, outer) * inner * (k + 1) / tasks_of;
  // Neighbours in the list are of different experts: what lies together is a fair sample of all.
  args.pool.parallel_for(tasks_of * cuts, std::max<int64_t>(1, 65536 / work),
                         [&](int64_t begin, int64_t end, int worker) {
                           for (int64_t t = begin; t < end; ++t) {
                             Gemm g = gemm_of_run(common, args, list[t % tasks_of], expert_bytes);
                             cut_columns(g, t / tasks_of * step, std::min(outer, (t / tasks_of + 1) * step));
                             g.schedule = &kTaskSchedule;
                             product(g, space + worker * worker_bytes, ThreadPool::serial());
                           }
                         });
}

struct BlockFns {
  void (*quantize)(const BlockGemm&, int64_t begin, int64_t end, std::byte* workspace);
  void (*multiply)(const BlockGemm&, int64_t begin, int64_t end, std::byte* workspace);
};

// All rows are quantized once, each run into a place of its own; then panels of all experts are tasks.
[[maybe_unused]] void contract_blocks(const KernelArgs& args, const BlockFns& fns) {
  Run* list = reinterpret_cast<Run*>(args.workspace);
  const Gemm common = common_gemm(args);
  const int64_t n = common.n.total(), k = common.k.total(), threads = args.pool.threads();
  const BlockFormat format = args.prepared.as<GroupedPlan>().format;
  const int64_t panels = n / kPanel, panel_size = panel_bytes(format, k);
  const int64_t runs = list_runs(args, list);
  if (runs == 0 || n == 0) return;
  auto product = [&](const Run& run) {
    const Gemm g = gemm_of_run(common, args, run, panels * panel_size);
    return BlockGemm{g.m, g.k, n, g.a, g.b, g.c, g.a_type, g.c_type, format};
  };
  std::byte* space = args.workspace + align64(runs * static_cast<int64_t>(sizeof(Run)));
  int64_t items = 0, rows = 0;
  for (Run* run = list; run < list + runs; ++run) {
    run->item = items;
    run->space = space;
    items += quantize_items(product(*run));
    rows += run->rows;
    space += align64(block_gemm_workspace(run->rows, k));
  }
  args.pool.parallel_for(items, std::max<int64_t>(1, 4096 / (k + 1)), [&](int64_t begin, int64_t end, int) {
    const Run* run =
        std::upper_bound(list, list + runs, begin, [](int64_t item, const Run& r) { return item < r.item; }) -
        1;
    for (; run < list + runs && run->item < end; ++run) {
      const int64_t stop = run + 1 < list + runs ? std::min(end, run[1].item) : end;
      fns.quantize(product(*run), std::max(begin, run->item) - run->item, stop - run->item, run->space);
    }
  });
  // Panels that stay in the second-level cache while a run's rows pass over them; a multiple of the widest
  // tile where they are enough.
  const int64_t cached = second_level_cache() * 7 / 16 / std::max<int64_t>(panel_size, 1);
  int64_t chunk = std::clamp<int64_t>(cached, 1, std::max<int64_t>(1, panels * runs / (8 * threads)));
  chunk = std::min(chunk < 3 ? chunk : chunk / 3 * 3, panels);
  const int64_t cuts = ceil_div(panels, chunk), work = rows * chunk * kPanel * (k + 1) / runs;
  args.pool.parallel_for(runs * cuts, std::max<int64_t>(1, 262144 / work),
                         [&](int64_t begin, int64_t end, int) {
                           for (int64_t t = begin; t < end; ++t) {
                             const Run& run = list[t % runs];
                             const int64_t first = t / runs * chunk;
                             fns.multiply(product(run), first, std::min(panels, first + chunk), run.space);
                           }
                         });
}

// ---- grouped_outer ----

struct OuterPlan {
  InlineVec<AxisPlace, 8> m, n;  // x is a, y is b
};

void outer_prepare(const ir::OpView& v, Prepared& prepared) {
  const ir::Type &x = v.operands[0], &y = v.operands[1], &out = v.results[0];
  OuterPlan p;
  for (int i = 1; i < out.rank(); ++i) {
    const AxisPlace a{place(x, out.dims[i].axis), place(y, out.dims[i].axis), static_cast<int8_t>(i)};
    (a.a >= 0 ? p.m : p.n).push_back(a);
  }
  prepared.store(p);
}

int64_t outer_workspace(const ir::OpView& v, int threads) {
  int64_t size[2] = {1, 1};
  for (size_t o = 0; o < 2; ++o)
    for (int i = 1; i < v.operands[o].rank(); ++i) size[o] *= v.operands[o].dims[i].size;
  return gemm_workspace_up_to(size[0], size[1], v.operands[0].dims[0].size, threads);
}

void outer_gemms(const KernelArgs& args, GemmFn product) {
  const OuterPlan& p = args.prepared.as<OuterPlan>();
  const TensorView &x = args.operands[0], &y = args.operands[1], &out = args.results[0];
  const GroupMaker group(x, y, out);
  const int64_t x_row = row_size(x), y_row = row_size(y), expert = row_size(out) * dtype_size(out.dtype);
  Gemm common;
  common.m = group(p.m);
  common.n = group(p.n);
  common.a_type = x.dtype;
  common.b_type = y.dtype;
  common.c_type = out.dtype;
  each_run(args, out.dims[0], [&](int64_t e, int64_t begin, int64_t rows) {
    std::byte* to = out.data + e * expert;
    if (rows == 0) return fill_zeros(to, expert, args.pool);
    Gemm g = common;
    g.k.add(rows, x_row, y_row, 0);
    g.a = x.data + begin * x_row * dtype_size(x.dtype);
    g.b = y.data + begin * y_row * dtype_size(y.dtype);
    g.c = to;
    product(g, args.workspace, args.pool);
  });
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/moe.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {

void add_moe(KernelList& list) {
  static const Kernel kernels[] = {
#if HOIST_ISA_LAST
    {"route_sort", HOIST_ISA_NAME, any_ids, route_sort},
#endif
    {"grouped_contract", HOIST_ISA_NAME, narrow_floats,
     [](const KernelArgs& args) noexcept { contract_gemms(args, gemm); }, grouped_prepare, grouped_workspace},
#if !HOIST_ISA_IS_AVX512 || HOIST_ISA_IS_AVX512DOT  // AVX-512 without VNNI: the AVX2 kernel
    {"grouped_contract", HOIST_ISA_NAME, grouped_panels,
     [](const KernelArgs& args) noexcept {
       if (args.prepared.as<GroupedPlan>().weights == GroupedPlan::Weights::kBlocks)
         contract_blocks(args, {quantize_rows, multiply_panels});
       else
         contract_gemms(args, gemm);
     },
     grouped_prepare, grouped_workspace},
#else
    {"grouped_contract", HOIST_ISA_NAME, grouped_dense_panels,
     [](const KernelArgs& args) noexcept { contract_gemms(args, gemm); }, grouped_prepare, grouped_workspace},
#endif
    {"grouped_outer", HOIST_ISA_NAME, narrow_floats,
     [](const KernelArgs& args) noexcept { outer_gemms(args, gemm); }, outer_prepare, outer_workspace},
  };
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
