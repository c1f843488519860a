// bf16 by bf16 with the CPU's dot product.
#include <type_traits>

#include "kernels/cpu/gemm/epilogue.h"
#include "kernels/cpu/gemm/paths.h"
#include "kernels/cpu/gemm/sizes.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_DOT
#define HOIST_ISA_FILE "kernels/cpu/gemm/bf16_dot.cc"
#include "kernels/cpu/for_each_isa.h"

#if HOIST_ISA_IS_AVX512DOT
namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/gemm/tile.inc"

#include "kernels/cpu/gemm/pack.inc"

#include "kernels/cpu/gemm/drive.inc"

#include "kernels/cpu/gemm/few_rows.inc"

}  // namespace

void round_a(Gemm& g, std::byte* to, ThreadPool& pool) {
  const int64_t m = g.m.total(), k = g.k.total();
  pool.parallel_for(m, grain_for(k), [&](int64_t begin, int64_t end, int) {
    alignas(64) float values[kKBlock];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t base = g.m.offset(AxisGroup::kA, i);
      for (int64_t k0 = 0; k0 < k; k0 += kKBlock) {
        const int64_t n = std::min(kKBlock, k - k0);
        read_row(g.a_type, g.a, base, g.k, k0, n, values);
        write_values(DType::bf16, to, i * k + k0, n, values);
      }
    }
  });
  // The rows now lie one after another: only the strides of a in m and k change.
  int64_t stride = k;
  for (int i = g.m.count - 1; i >= 0; stride *= g.m.size[i--]) g.m.stride[i][AxisGroup::kA] = stride;
  stride = 1;
  for (int i = g.k.count - 1; i >= 0; stride *= g.k.size[i--]) g.k.stride[i][AxisGroup::kA] = stride;
  g.a = to;
  g.a_type = DType::bf16;
}

void gemm_bf16(const Gemm& g, bool few, std::byte* workspace, ThreadPool& pool) {
  few ? run_few_rows<DotBf16>(g, workspace, pool) : run_products<DotBf16>(g, workspace, pool);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
#endif
