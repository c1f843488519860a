// f32 by bf16 panels: mixed operands, and CPUs without a dot product of bf16.
#include <type_traits>

#include "kernels/cpu/gemm/epilogue.h"
#include "kernels/cpu/gemm/paths.h"
#include "kernels/cpu/gemm/sizes.h"
#include "kernels/cpu/simd.h"

#define HOIST_ISA_FILE "kernels/cpu/gemm/bf16_pairs.cc"
#include "kernels/cpu/for_each_isa.h"

namespace hoist::kernels::cpu::HOIST_ISA {
namespace {

#include "kernels/cpu/gemm/tile.inc"

#include "kernels/cpu/gemm/pack.inc"

#include "kernels/cpu/gemm/drive.inc"

}  // namespace

void gemm_pairs(const Gemm& g, std::byte* workspace, ThreadPool& pool) {
  run_products<DotPairs>(g, workspace, pool);
}

}  // namespace hoist::kernels::cpu::HOIST_ISA
