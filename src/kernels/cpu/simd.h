// Vectors of the machine: one namespace per instruction set (portable, avx2, avx512), each with the same
// names, so that one kernel source serves all of them (for_each_isa.h).
//
//   F, I           W floats; W int32 lanes, also comparison masks (all ones or zero). GCC vectors: + - * / <
//   ?: work. load, store    f32, bf16, f16 in memory, f32 in registers; *_n touch only n lanes (n <= W), the
//   rest reads as 0 fma(a, b, c)   a * b + c; fused on avx2 and avx512, two roundings on portable sum,
//   maximum   of all lanes, always in the same tree transpose      W vectors of W 32-bit lanes
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
#define HOIST_TARGET_PUSH_AVX2 HOIST_TARGET_PUSH("avx2,fma,f16c,bmi2")

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"  // wide vectors are passed only between functions of one target

namespace hoist::kernels::cpu {

// ---- portable: four lanes, whatever the compiler makes of them ----
namespace portable {
constexpr int W = 4;
typedef float F __attribute__((vector_size(16), may_alias));
typedef int32_t I __attribute__((vector_size(16), may_alias));

HOIST_INLINE F set(float x) { return F{x, x, x, x}; }
HOIST_INLINE I seti(int32_t x) { return I{x, x, x, x}; }
HOIST_INLINE I lane_index() { return I{0, 1, 2, 3}; }
HOIST_INLINE F load(const float* p) {
  F v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
HOIST_INLINE void store(float* p, F v) { std::memcpy(p, &v, sizeof v); }
HOIST_INLINE I loadi(const int32_t* p) {
  I v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
HOIST_INLINE F load_n(const float* p, int n) {
  F v = set(0);
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
HOIST_INLINE void store_n(float* p, F v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v[i];
}
template <class T>
HOIST_INLINE F load(const T* p) {
  return F{to_float(p[0]), to_float(p[1]), to_float(p[2]), to_float(p[3])};
}
template <class T>
HOIST_INLINE F load_n(const T* p, int n) {
  F v = set(0);
  for (int i = 0; i < n; ++i) v[i] = to_float(p[i]);
  return v;
}
HOIST_INLINE void store_n(bf16* p, F v, int n) {
  for (int i = 0; i < n; ++i) p[i] = to_bf16(v[i]);
}
HOIST_INLINE void store_n(f16* p, F v, int n) {
  for (int i = 0; i < n; ++i) p[i] = to_f16(v[i]);
}
HOIST_INLINE void store(bf16* p, F v) { store_n(p, v, W); }
HOIST_INLINE void store(f16* p, F v) { store_n(p, v, W); }
HOIST_INLINE F fma(F a, F b, F c) { return a * b + c; }
HOIST_INLINE F vmax(F a, F b) { return a > b ? a : b; }  // b when either is NaN
HOIST_INLINE F vmin(F a, F b) { return a < b ? a : b; }
HOIST_INLINE F vsqrt(F a) {
  for (int i = 0; i < W; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
HOIST_INLINE F from_int(I a) { return __builtin_convertvector(a, F); }
HOIST_INLINE F round_even(F a) {  // |a| < 2^22
  F magic = set(12582912.0f);
  return (a + magic) - magic;
}
HOIST_INLINE I to_int(F a) { return __builtin_convertvector(a, I); }
// p * 2^n for n in [-252, 254]: two factors, so that subnormals and infinity come out right.
HOIST_INLINE F scale2(F p, F n) {
  I e = to_int(n), half = e >> 1;
  return p * (F)((half + seti(127)) << 23) * (F)((e - half + seti(127)) << 23);
}
HOIST_INLINE float sum(F a) { return (a[0] + a[2]) + (a[1] + a[3]); }
HOIST_INLINE float maximum(F a) {
  float x = a[0] > a[2] ? a[0] : a[2], y = a[1] > a[3] ? a[1] : a[3];
  return x > y ? x : y;
}
HOIST_INLINE void transpose(I* r) {
  for (int i = 0; i < W; ++i)
    for (int j = i + 1; j < W; ++j) {
      int32_t t = r[i][j];
      r[i][j] = r[j][i];
      r[j][i] = t;
    }
}
// The 16-bit floats in the low and high halves of each lane.
HOIST_INLINE F low_half(I pair, bf16) { return (F)(pair << 16); }
HOIST_INLINE F high_half(I pair, bf16) { return (F)(pair & seti(static_cast<int32_t>(0xffff0000u))); }
HOIST_INLINE F low_half(I pair, f16) {
  F v;
  for (int i = 0; i < W; ++i) v[i] = to_float(f16{static_cast<uint16_t>(pair[i])});
  return v;
}
HOIST_INLINE F high_half(I pair, f16) {
  F v;
  for (int i = 0; i < W; ++i)
    v[i] = to_float(f16{static_cast<uint16_t>(static_cast<uint32_t>(pair[i]) >> 16)});
  return v;
}
#include "kernels/cpu/simd_math.inc"
}  // namespace portable

#if HOIST_X86

HOIST_TARGET_PUSH_AVX2
namespace avx2 {
constexpr int W = 8;
typedef __m256 F;
typedef int32_t I __attribute__((vector_size(32), may_alias));

HOIST_INLINE F set(float x) { return _mm256_set1_ps(x); }
HOIST_INLINE I seti(int32_t x) { return (I)_mm256_set1_epi32(x); }
HOIST_INLINE I lane_index() { return I{0, 1, 2, 3, 4, 5, 6, 7}; }
HOIST_INLINE I mask_n(int n) { return seti(n) > lane_index(); }
HOIST_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
HOIST_INLINE void store(float* p, F v) { _mm256_storeu_ps(p, v); }
HOIST_INLINE I loadi(const int32_t* p) { return (I)_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
HOIST_INLINE F load_n(const float* p, int n) { return _mm256_maskload_ps(p, (__m256i)mask_n(n)); }
HOIST_INLINE void store_n(float* p, F v, int n) { _mm256_maskstore_ps(p, (__m256i)mask_n(n), v); }
HOIST_INLINE F widen(__m128i x, bf16) { return (F)_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16); }
HOIST_INLINE F widen(__m128i x, f16) { return _mm256_cvtph_ps(x); }
HOIST_INLINE __m128i narrow(F v, f16) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
HOIST_INLINE __m128i narrow(F v, bf16) {
  I u = (I)v;
  I rounded = u + seti(0x7fff) + ((u >> 16) & seti(1));
  I nan = u | seti(0x400000);
  I bits = ((v != v) ? nan : rounded) >> 16;
  __m256i packed = _mm256_packus_epi32((__m256i)(bits & seti(0xffff)), _mm256_setzero_si256());
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}
template <class T>
HOIST_INLINE F load(const T* p) {
  return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), T{});
}
template <class T>
HOIST_INLINE F load_n(const T* p, int n) {
  alignas(16) T buffer[W] = {};
  for (int i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
}
HOIST_INLINE void store(bf16* p, F v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(v, bf16{})); }
HOIST_INLINE void store(f16* p, F v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(v, f16{})); }
template <class T>
HOIST_INLINE void store_n(T* p, F v, int n) {
  alignas(16) T buffer[W];
  store(buffer, v);
  for (int i = 0; i < n; ++i) p[i] = buffer[i];
}
HOIST_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
HOIST_INLINE F vmax(F a, F b) { return _mm256_max_ps(a, b); }
HOIST_INLINE F vmin(F a, F b) { return _mm256_min_ps(a, b); }
HOIST_INLINE F vsqrt(F a) { return _mm256_sqrt_ps(a); }
HOIST_INLINE F from_int(I a) { return _mm256_cvtepi32_ps((__m256i)a); }
HOIST_INLINE F round_even(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
HOIST_INLINE I to_int(F a) { return (I)_mm256_cvttps_epi32(a); }
HOIST_INLINE F scale2(F p, F n) {
  I e = to_int(n), half = e >> 1;
  return p * (F)((half + seti(127)) << 23) * (F)((e - half + seti(127)) << 23);
}
HOIST_INLINE float sum(F a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
HOIST_INLINE float maximum(F a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
HOIST_INLINE void transpose(I* r) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps((__m256)r[i], (__m256)r[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps((__m256)r[i], (__m256)r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = (I)_mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    r[i + 4] = (I)_mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}
HOIST_INLINE F low_half(I pair, bf16) { return (F)(pair << 16); }
HOIST_INLINE F high_half(I pair, bf16) { return (F)(pair & seti(static_cast<int32_t>(0xffff0000u))); }
HOIST_INLINE __m128i pack_low(__m256i x) {
  __m256i packed =
      _mm256_packus_epi32(_mm256_and_si256(x, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256());
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}
HOIST_INLINE F low_half(I pair, f16) { return _mm256_cvtph_ps(pack_low((__m256i)pair)); }
HOIST_INLINE F high_half(I pair, f16) {
  return _mm256_cvtph_ps(pack_low(_mm256_srli_epi32((__m256i)pair, 16)));
}
#include "kernels/cpu/simd_math.inc"
}  // namespace avx2
HOIST_TARGET_POP

HOIST_TARGET_PUSH_AVX512
namespace avx512 {
constexpr int W = 16;
typedef __m512 F;
typedef int32_t I __attribute__((vector_size(64), may_alias));

HOIST_INLINE F set(float x) { return _mm512_set1_ps(x); }
HOIST_INLINE I seti(int32_t x) { return (I)_mm512_set1_epi32(x); }
HOIST_INLINE I lane_index() { return I{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }
HOIST_INLINE __mmask16 mask_n(int n) { return static_cast<__mmask16>((1u << n) - 1); }
HOIST_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
HOIST_INLINE void store(float* p, F v) { _mm512_storeu_ps(p, v); }
HOIST_INLINE I loadi(const int32_t* p) { return (I)_mm512_loadu_si512(p); }
HOIST_INLINE F load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(mask_n(n), p); }
HOIST_INLINE void store_n(float* p, F v, int n) { _mm512_mask_storeu_ps(p, mask_n(n), v); }
HOIST_INLINE F widen(__m256i x, bf16) { return (F)_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16); }
HOIST_INLINE F widen(__m256i x, f16) { return _mm512_cvtph_ps(x); }
HOIST_INLINE __m256i narrow(F v, f16) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
// Not vcvtneps2bf16: that one flushes subnormals, and base/dtype.h does not.
HOIST_INLINE __m256i narrow(F v, bf16) {
  __m512i u = (__m512i)v;
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
  __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, nan, u, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}
template <class T>
HOIST_INLINE F load(const T* p) {
  return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), T{});
}
template <class T>
HOIST_INLINE F load_n(const T* p, int n) {
  return widen(_mm256_maskz_loadu_epi16(mask_n(n), p), T{});
}
template <class T>
HOIST_INLINE void store(T* p, F v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(v, T{}));
}
template <class T>
HOIST_INLINE void store_n(T* p, F v, int n) {
  _mm256_mask_storeu_epi16(p, mask_n(n), narrow(v, T{}));
}
HOIST_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
HOIST_INLINE F vmax(F a, F b) { return _mm512_max_ps(a, b); }
HOIST_INLINE F vmin(F a, F b) { return _mm512_min_ps(a, b); }
HOIST_INLINE F vsqrt(F a) { return _mm512_sqrt_ps(a); }
HOIST_INLINE F from_int(I a) { return _mm512_cvtepi32_ps((__m512i)a); }
HOIST_INLINE F round_even(F a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
HOIST_INLINE I to_int(F a) { return (I)_mm512_cvttps_epi32(a); }
HOIST_INLINE F scale2(F p, F n) { return _mm512_scalef_ps(p, n); }
HOIST_INLINE float sum(F a) {
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
HOIST_INLINE float maximum(F a) {
  __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
HOIST_INLINE void transpose(I* r) {
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps((__m512)r[i], (__m512)r[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps((__m512)r[i], (__m512)r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {  // b[i + j]: column j of each 4 x 4 block in the four quarters
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int j = 0; j < 4; ++j) {
    __m512 lo0 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88), hi0 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xdd);
    __m512 lo1 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88),
           hi1 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xdd);
    r[j] = (I)_mm512_shuffle_f32x4(lo0, lo1, 0x88);
    r[8 + j] = (I)_mm512_shuffle_f32x4(lo0, lo1, 0xdd);
    r[4 + j] = (I)_mm512_shuffle_f32x4(hi0, hi1, 0x88);
    r[12 + j] = (I)_mm512_shuffle_f32x4(hi0, hi1, 0xdd);
  }
}
HOIST_INLINE F low_half(I pair, bf16) { return (F)_mm512_slli_epi32((__m512i)pair, 16); }
HOIST_INLINE F high_half(I pair, bf16) {
  return (F)_mm512_and_si512((__m512i)pair, _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
}
HOIST_INLINE F low_half(I pair, f16) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)pair)); }
HOIST_INLINE F high_half(I pair, f16) {
  return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32((__m512i)pair, 16)));
}
#include "kernels/cpu/simd_math.inc"
}  // namespace avx512
HOIST_TARGET_POP

#endif  // HOIST_X86

}  // namespace hoist::kernels::cpu

#pragma GCC diagnostic pop
