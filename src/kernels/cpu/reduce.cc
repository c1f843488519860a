// reduce_sum over consecutive axes: x [outer, n, inner] -> [outer, inner].
//
// Order: inner == 1 sums a row in vector lanes, in blocks of 4096 elements, blocks in order; else the n rows
// are summed in blocks of kRowBlock, one by one inside, blocks in order.
#include "ops/reduce.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

#ifndef HOIST_ISA
namespace hoist::kernels::cpu {
namespace {

constexpr int64_t kSumBlock = 4096;

struct ReducePlan {
  int8_t first = 0, last = 0;  // the axes that go
};

bool reduce_plan(const ir::OpView& v, ReducePlan& plan) {
  const ir::Type& x = v.operands[0];
  const AxisList& axes = v.attrs_as<ops::ReduceAttrs>().axes;
  plan.first = static_cast<int8_t>(x.rank());
  for (Symbol a : axes) {
    plan.first = static_cast<int8_t>(std::min<int>(plan.first, x.find(a)));
    plan.last = static_cast<int8_t>(std::max<int>(plan.last, x.find(a) + 1));
  }
  return plan.last - plan.first == axes.size();
}

bool supports(const ir::OpView& v) {
  ReducePlan plan;
  return narrow_floats(v) && reduce_plan(v, plan);
}

void prepare(const ir::OpView& v, Prepared& prepared) {
  ReducePlan plan;
  reduce_plan(v, plan);
  prepared.store(plan);
}

// Block sums: [blocks, inner] for one outer index, or [blocks] of one row.
int64_t workspace(const ir::OpView& v, int) {
  ReducePlan plan;
  reduce_plan(v, plan);
  int64_t n = 1, inner = 1;
  const ir::Type& x = v.operands[0];
  for (int i = plan.first; i < x.rank(); ++i) (i < plan.last ? n : inner) *= x.dims[i].size;
  return inner == 1 ? (n + kSumBlock - 1) / kSumBlock * 4 : row_blocks(n) * inner * 4;
}

}  // namespace
}  // namespace hoist::kernels::cpu
#endif

#define HOIST_ISA_FILE "kernels/cpu/reduce.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/row_blocks.inc"

template <class T>
float block_sum(const T* x, int64_t n) {
  return sum_over(n, [&](int64_t i, int64_t left) { return load_tail(x + i, left); });
}

template <class T>
void sum_rows(const KernelArgs& args, int64_t rows, int64_t n) {
  const T* x = args.in<T>(0);
  T* out = args.out<T>(0);
  const int64_t blocks = (n + kSumBlock - 1) / kSumBlock;
  if (rows >= args.pool.threads() || blocks <= 1) {
    args.pool.parallel_for(rows, grain_for(n), [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        float total = 0;
        for (int64_t i = 0; i < n; i += kSumBlock)
          total += block_sum(x + row * n + i, std::min(kSumBlock, n - i));
        store_n(out + row, set(total), 1);
      }
    });
    return;
  }
  float* sums = reinterpret_cast<float*>(args.workspace);
  for (int64_t row = 0; row < rows; ++row) {
    args.pool.parallel_for(blocks, 4, [&](int64_t begin, int64_t end, int) {
      for (int64_t b = begin; b < end; ++b)
        sums[b] = block_sum(x + row * n + b * kSumBlock, std::min(kSumBlock, n - b * kSumBlock));
    });
    float total = 0;
    for (int64_t b = 0; b < blocks; ++b) total += sums[b];
    store_n(out + row, set(total), 1);
  }
}

void run(const KernelArgs& args) noexcept {
  const ReducePlan& p = args.prepared.as<ReducePlan>();
  const TensorView& x = args.operands[0];
  int64_t outer = 1, n = 1, inner = 1;
  for (int i = 0; i < x.dims.size(); ++i) (i < p.first ? outer : i < p.last ? n : inner) *= x.dims[i];
  with_type(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (p.last == x.dims.size()) return sum_rows<T>(args, outer, n);
    float* partial = reinterpret_cast<float*>(args.workspace);
    for (int64_t o = 0; o < outer; ++o) {
      const T* base = args.in<T>(0) + o * n * inner;
      for_row_blocks(args.pool, n, inner, partial, inner, [&](int64_t row, float* sums) {
        const T* r = base + row * inner;
        for (int64_t i = 0; i < inner; i += W)
          store_tail(sums + i, load_tail(sums + i, inner - i) + load_tail(r + i, inner - i), inner - i);
      });
      add_row_blocks(args.pool, n, inner, partial, inner, args.out<T>(0) + o * inner);
    }
  });
}

}  // namespace

void add_reduce(KernelList& list) {
  static const Kernel kernel{"reduce_sum", HOIST_ISA_NAME, supports, run, prepare, workspace};
  list.push_back(&kernel);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
