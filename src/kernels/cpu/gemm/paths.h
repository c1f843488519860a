// The paths of gemm(), one source each. `few`: at most kFewRows rows, b readable as it lies.
#pragma once

#include "kernels/cpu/gemm/gemm.h"

namespace hoist::kernels::cpu {

namespace portable {
void gemm_f32(const Gemm& g, std::byte* workspace, ThreadPool& pool);
void gemm_f32_few_rows(const Gemm& g, std::byte* workspace, ThreadPool& pool);
void gemm_pairs(const Gemm& g, std::byte* workspace, ThreadPool& pool);
}  // namespace portable
namespace avx2 {
void gemm_f32(const Gemm& g, std::byte* workspace, ThreadPool& pool);
void gemm_f32_few_rows(const Gemm& g, std::byte* workspace, ThreadPool& pool);
void gemm_pairs(const Gemm& g, std::byte* workspace, ThreadPool& pool);
}  // namespace avx2
namespace avx512 {
void gemm_f32(const Gemm& g, std::byte* workspace, ThreadPool& pool);
void gemm_f32_few_rows(const Gemm& g, std::byte* workspace, ThreadPool& pool);
void gemm_pairs(const Gemm& g, std::byte* workspace, ThreadPool& pool);
}  // namespace avx512
namespace avx512dot {
void round_a(Gemm& g, std::byte* to, ThreadPool& pool);
void gemm_bf16(const Gemm& g, bool few, std::byte* workspace, ThreadPool& pool);
}  // namespace avx512dot

}  // namespace hoist::kernels::cpu
