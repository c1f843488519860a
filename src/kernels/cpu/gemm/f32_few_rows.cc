// A few rows in f32 multiply-adds.
#include <type_traits>

#include "kernels/cpu/gemm/epilogue.h"
#include "kernels/cpu/gemm/paths.h"
#include "kernels/cpu/gemm/sizes.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/gemm/f32_few_rows.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/gemm/tile.inc"

#include "kernels/cpu/gemm/pack.inc"

#include "kernels/cpu/gemm/rows.inc"

#include "kernels/cpu/gemm/few_rows.inc"

}  // namespace

void gemm_f32_few_rows(const Gemm& g, std::byte* workspace, ThreadPool& pool) {
  run_few_rows<DotF32>(g, workspace, pool);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
