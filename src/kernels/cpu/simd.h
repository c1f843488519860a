// Vectors of the machine: one namespace per instruction set (portable, avx2, avx512, avx512dot), each with
// the same names, so that one kernel source serves all of them (for_each_isa.h).
//
// - F, I: W floats; W int32 lanes, which are also the masks of comparisons (all ones or zero). GCC vectors,
// so + - * / < ?: work.
// - load, store: f32, bf16, f16 in memory, f32 in registers; the _n forms touch n <= W lanes only, the rest
// reads as 0.
// - fma(a, b, c): a * b + c, fused on avx2 and avx512, two roundings on portable.
// - sum, maximum: of all lanes, always in the same tree.
// - transpose: W vectors of W 32-bit lanes.
// - unrolled(n): how often a loop of n steps over registers is unrolled (`#pragma GCC unroll unrolled(8)`).
//
// A 16-bit store rounds to nearest even, exactly as base/dtype.h does. Wide instructions are enabled per
// function by target pragmas, never per file: an inline function of another header must not be compiled for a
// CPU we lack.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/dtype.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HOIST_X86 1
#else
#define HOIST_X86 0
#endif

#define HOIST_INLINE inline __attribute__((always_inline))
// HOIST_TARGET_PUSH_... to HOIST_TARGET_POP: functions between them, templates and lambdas too, are for that
// target.
#define HOIST_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define HOIST_TARGET_PUSH(isa) \
  HOIST_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define HOIST_TARGET_POP HOIST_PRAGMA(clang attribute pop)
#else
#define HOIST_TARGET_PUSH(isa) HOIST_PRAGMA(GCC push_options) HOIST_PRAGMA(GCC target isa)
#define HOIST_TARGET_POP HOIST_PRAGMA(GCC pop_options)
#endif
#define HOIST_TARGET_PUSH_AVX512 HOIST_TARGET_PUSH("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2")
#define HOIST_TARGET_PUSH_AVX512DOT \
  HOIST_TARGET_PUSH("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma,f16c,bmi2")
#define HOIST_TARGET_PUSH_AVX2 HOIST_TARGET_PUSH("avx2,fma,f16c,bmi2")

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"  // wide vectors are passed only between functions of one target

namespace hoist::kernels::cpu {

namespace portable {
#include "kernels/cpu/simd_portable.inc"

#include "kernels/cpu/simd_math.inc"
}  // namespace portable

#if HOIST_X86

HOIST_TARGET_PUSH_AVX2
namespace avx2 {
#include "kernels/cpu/simd_avx2.inc"

#include "kernels/cpu/simd_math.inc"
}  // namespace avx2
HOIST_TARGET_POP

HOIST_TARGET_PUSH_AVX512
namespace avx512 {
#include "kernels/cpu/simd_avx512.inc"

#include "kernels/cpu/simd_math.inc"
}  // namespace avx512
HOIST_TARGET_POP

// AVX-512 with the dot products of BF16 and VNNI: all of avx512, and these.
HOIST_TARGET_PUSH_AVX512DOT
namespace avx512dot {
using namespace avx512;
// acc + a.low * b.low + a.high * b.high of pairs of bf16. Subnormals read and come out as zero.
HOIST_INLINE F dot_bf16(F a, I b, F acc) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
// Words of four weights, unsigned bytes of at most kMost, to be multiplied by words of signed bytes.
template <int kMost>
struct Bytes {
  static constexpr bool kCentred = false;
  I word;
  Bytes() = default;
  HOIST_INLINE explicit Bytes(I w) : word(w) {}
  HOIST_INLINE I dot(I x, I acc) const {
    return (I)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)word, (__m512i)x);
  }
};
}  // namespace avx512dot
HOIST_TARGET_POP

#endif  // HOIST_X86

}  // namespace hoist::kernels::cpu

#pragma GCC diagnostic pop
