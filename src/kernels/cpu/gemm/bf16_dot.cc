// bf16 by bf16 with the CPU's dot product.
#include <type_traits>

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

void gemm_bf16(const Gemm& g, bool few, std::byte* workspace, ThreadPool& pool) {
  few ? run_few_rows<DotBf16>(g, workspace, pool) : run_products<DotBf16>(g, workspace, pool);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
#endif
