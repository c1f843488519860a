// contract and linear as matrix products: each axis of the op joins one group of the Gemm (gemm.h, blocks.h).
#include "ops/contract.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/gemm/axes.h"
#include "kernels/cpu/gemm/blocks.h"
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/gemm/panels.h"
#include "kernels/cpu/gemm/schedule.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"
#include "ops/linear.h"

#ifndef HOIST_ISA  // once, for the plain target
namespace hoist::kernels::cpu {
namespace {

struct ContractPlan {
  InlineVec<AxisPlace, 16> batch, m, n, k;  // m: free in x; n: free in y
  enum class Weights : uint8_t { kDense, kPanels, kBlocks } weights = Weights::kDense;
  BlockFormat format = BlockFormat::kQ8_0;
  const TunedProduct* tuned = nullptr;  // lives as long as the process (use_gemm_table)
};

bool contract_supports(const ir::OpView& v) {
  return v.operands[0].dtype != DType::f64 && v.operands[0].format.empty() && v.operands[1].format.empty();
}

// Weights in panels: their free axes must lie side by side in the result, in the same order.
bool panels_supports(const ir::OpView& v) {
  const ir::Type &x = v.operands[0], &y = v.operands[1], &out = v.results[0];
  const ir::Format* f = ir::find_format(y.format);
  if (x.dtype == DType::f64 || !x.format.empty() || !f || !f->panel) return false;
  const int rows = y.rank() - f->panel;
  int64_t k = 1;
  for (int i = rows; i < y.rank(); ++i) k *= y.dims[i].size;
  if (f->base == "i8" && k > kLongestI8) return false;
  for (int i = 0; i < rows; ++i)
    if (out.rank() < rows || !(out.dims[out.rank() - rows + i].axis == y.dims[i].axis)) return false;
  return true;
}

bool epilogue_supports(const ir::OpView& v) {
  const ops::LinearPlaces places(v.attrs_as<ops::LinearAttrs>());
  return narrow_float(v.results[0].dtype) &&
         (places.bias < 0 || narrow_float(v.operands[static_cast<size_t>(places.bias)].dtype));
}
bool linear_supports(const ir::OpView& v) { return contract_supports(v) && epilogue_supports(v); }

template <class Axes>
int64_t elements(const ir::OpView& v, const Axes& axes, int operand) {
  int64_t n = 1;
  for (const AxisPlace& p : axes)
    n *= v.operands[static_cast<size_t>(operand)].dims[operand ? p.b : p.a].size;
  return n;
}

// What was tuned for a single product of these types, if anything; null for batches and for blocks.
const TunedProduct* tuned_product(const ir::OpView& v, const ContractPlan& p) {
  const GemmTable* table = gemm_table();
  const ir::Type &x = v.operands[0], &y = v.operands[1], &out = v.results[0];
  if (!table || p.weights == ContractPlan::Weights::kBlocks || !p.batch.empty() || p.k.empty() || p.n.empty())
    return nullptr;
  const bool x_by_k = !out.has(x.dims.back().axis), w_by_k = !out.has(y.dims.back().axis);
  GemmKey key{x.dtype, y.dtype, GemmLayout::kPanels, elements(v, p.n, 1), elements(v, p.k, 0)};
  if (p.weights == ContractPlan::Weights::kDense)
    key.layout =
        x_by_k ? (w_by_k ? GemmLayout::kNt : GemmLayout::kNn) : (w_by_k ? GemmLayout::kTt : GemmLayout::kTn);
  else if (!x_by_k)
    return nullptr;
  return table->find(key);
}

// Batch, m and n in the result's order, k in x's: the order of summation is x's.
void contract_prepare(const ir::OpView& v, Prepared& prepared) {
  ContractPlan p;
  const ir::Type &x = v.operands[0], &y = v.operands[1], &out = v.results[0];
  for (int i = 0; i < out.rank(); ++i) {
    AxisPlace a{static_cast<int8_t>(x.find(out.dims[i].axis)), static_cast<int8_t>(y.find(out.dims[i].axis)),
                static_cast<int8_t>(i)};
    (a.a >= 0 && a.b >= 0 ? p.batch : a.a >= 0 ? p.m : p.n).push_back(a);
  }
  for (int i = 0; i < x.rank(); ++i)
    if (!out.has(x.dims[i].axis))
      p.k.push_back({static_cast<int8_t>(i), static_cast<int8_t>(y.find(x.dims[i].axis)), -1});
  if (const ir::Format* f = ir::find_format(y.format)) {
    p.weights = f->base.empty() ? ContractPlan::Weights::kPanels : ContractPlan::Weights::kBlocks;
    if (!f->base.empty()) p.format = *block_format(f->base);
  }
  p.tuned = tuned_product(v, p);
  prepared.store(p);
}

int64_t contract_workspace(const ir::OpView& v, int threads) {
  Prepared prepared;
  contract_prepare(v, prepared);
  const ContractPlan& p = prepared.as<ContractPlan>();
  const int64_t m = elements(v, p.m, 0), n = elements(v, p.n, 1), k = elements(v, p.k, 0);
  if (p.weights == ContractPlan::Weights::kBlocks) return block_gemm_workspace(m, k);
  bool live_k = false;
  for (const AxisPlace& a : p.k) live_k = live_k || v.operands[0].dims[a.a].live;
  const auto space = live_k ? gemm_workspace_up_to : gemm_workspace;
  int64_t bytes = space(m, n, k, threads, nullptr);
  if (p.tuned)  // a run may have any number of rows up to m
    for (const TunedRows& r : p.tuned->rows) bytes = std::max(bytes, space(m, n, k, threads, &r.schedule));
  return bytes + (p.weights == ContractPlan::Weights::kPanels ? rounded_rows_bytes(m, k) : 0);
}

Gemm contract_gemm(const KernelArgs& args) {
  const ContractPlan& p = args.prepared.as<ContractPlan>();
  const TensorView &x = args.operands[0], &y = args.operands[1], &out = args.results[0];
  const GroupMaker group(x, y, out);
  Gemm g;
  g.batch = group(p.batch);
  g.m = group(p.m);
  g.n = group(p.n);
  g.k = group(p.k);
  g.a = x.data;
  g.b = y.data;
  g.c = out.data;
  g.a_type = x.dtype;
  g.b_type = y.dtype;
  g.c_type = out.dtype;
  g.b_panels = p.weights == ContractPlan::Weights::kPanels;
  if (p.tuned) g.schedule = p.tuned->find(g.m.total(), args.pool.threads());
  return g;
}

Epilogue linear_epilogue(const KernelArgs& args) {
  const auto& a = args.attrs.as<ops::LinearAttrs>();
  const ops::LinearPlaces places(a);
  auto data = [&](int8_t place) -> const std::byte* {
    return place < 0 ? nullptr : args.operands[static_cast<size_t>(place)].data;
  };
  Epilogue e;
  e.scale = static_cast<float>(a.scale);
  ops::find_activation(a.activation, &e.activation);
  ops::find_activation(a.gate_activation, &e.gate_activation);
  if (places.bias >= 0) e.bias_type = args.operands[static_cast<size_t>(places.bias)].dtype;
  e.bias = data(places.bias);
  e.gate = data(places.gate);
  e.residual = data(places.residual);
  return e;
}

BlockGemm block_gemm_of(const Gemm& g, const KernelArgs& args) {
  BlockGemm b;
  b.m = g.m;
  b.k = g.k;
  b.n = g.n.total();
  b.a = g.a;
  b.panels = g.b;
  b.c = g.c;
  b.a_type = g.a_type;
  b.c_type = g.c_type;
  b.format = args.prepared.as<ContractPlan>().format;
  b.epilogue = g.epilogue;
  return b;
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/contract.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {

namespace {

void run_dense(const KernelArgs& args, const Epilogue* epilogue) {
  Gemm g = contract_gemm(args);
  g.epilogue = epilogue;
  gemm(g, args.workspace, args.pool);
}

// Weights in panels, dense or in blocks.
void run_panels(const KernelArgs& args, const Epilogue* epilogue) {
#if !HOIST_ISA_IS_AVX512 || HOIST_ISA_IS_AVX512DOT
  if (args.prepared.as<ContractPlan>().weights == ContractPlan::Weights::kBlocks) {
    Gemm g = contract_gemm(args);
    g.epilogue = epilogue;
    return block_gemm(block_gemm_of(g, args), args.workspace, args.pool);
  }
#endif
  run_dense(args, epilogue);
}

bool supports_these_panels(const ir::OpView& v) {
#if HOIST_ISA_IS_AVX512 && !HOIST_ISA_IS_AVX512DOT  // blocks without VNNI: the AVX2 kernel
  const ir::Format* f = ir::find_format(v.operands[1].format);
  if (!f || !f->base.empty()) return false;
#endif
  return panels_supports(v);
}

}  // namespace

void add_contract(KernelList& list) {
  static const Kernel kernels[] = {
      {"contract", HOIST_ISA_NAME, contract_supports,
       [](const KernelArgs& args) noexcept { run_dense(args, nullptr); }, contract_prepare,
       contract_workspace},
      {"contract", HOIST_ISA_NAME, supports_these_panels,
       [](const KernelArgs& args) noexcept { run_panels(args, nullptr); }, contract_prepare,
       contract_workspace},
      {"linear", HOIST_ISA_NAME, linear_supports,
       [](const KernelArgs& args) noexcept {
         const Epilogue e = linear_epilogue(args);
         run_dense(args, &e);
       },
       contract_prepare, contract_workspace},
      {"linear", HOIST_ISA_NAME,
       [](const ir::OpView& v) { return supports_these_panels(v) && epilogue_supports(v); },
       [](const KernelArgs& args) noexcept {
         const Epilogue e = linear_epilogue(args);
         run_panels(args, &e);
       },
       contract_prepare, contract_workspace},
  };
  for (const Kernel& k : kernels) list.push_back(&k);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
