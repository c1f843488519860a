// Little helpers the codecs share: unaligned little-endian halves, and conversions C++ leaves undefined.
// Private to quant/.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"

namespace hoist::quant {

static_assert(std::endian::native == std::endian::little, "blocks are copied as they lie");

inline float load_half(const uint8_t* p) {
  f16 h;
  std::memcpy(&h.bits, p, 2);
  return to_float(h);
}
// Returns what will be read back.
inline float store_half(uint8_t* p, float x) {
  const f16 h = to_f16(x);
  std::memcpy(p, &h.bits, 2);
  return to_float(h);
}
inline constexpr uint16_t kHalfNan = 0x7e00;

inline bool all_finite(const float* x, int64_t n) {
  uint32_t bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= (std::bit_cast<uint32_t>(x[i]) & 0x7f800000u) == 0x7f800000u;
  return bad == 0;
}

// The block that reads back as NaN throughout.
template <int Bytes, int ScaleAt>
inline void store_not_a_number(uint8_t* out) {
  std::memset(out, 0, Bytes);
  std::memcpy(out + ScaleAt, &kHalfNan, 2);
}

// Towards zero; what no int32 holds becomes INT32_MIN (and 0 in its low byte), as x86 converts.
inline int32_t truncate(float x) {
  return x >= -2147483648.0f && x < 2147483648.0f ? static_cast<int32_t>(x) : INT32_MIN;
}

// To the nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves it in the low mantissa bits.
// Defined for every x (garbage beyond the range, 0 for NaN).
inline int32_t round_even(float x) {
  return (std::bit_cast<int32_t>(x + 12582912.0f) & 0x007fffff) - 0x00400000;
}

// For each block of `Block` elements: `encode` if all are finite, otherwise the block that reads as NaN,
// whose scale lies at `ScaleAt`.
template <int Block, int Bytes, int ScaleAt, class Encode>
inline void encode_blocks(const float* x, void* destination, int64_t n, Encode encode) {
  auto* out = static_cast<uint8_t*>(destination);
  for (int64_t i = 0; i < n; i += Block, out += Bytes) {
    if (all_finite(x + i, Block))
      encode(x + i, out);
    else
      store_not_a_number<Bytes, ScaleAt>(out);
  }
}

// The k formats' quantizers by instruction set; all give the same bytes. avx2: null where the CPU has none.
struct KEncoders {
  void (*q4_k)(const float* x, void* destination, int64_t n);
  void (*q5_k)(const float* x, void* destination, int64_t n);
  void (*q6_k)(const float* x, void* destination, int64_t n);
};
const KEncoders& portable_encoders();
const KEncoders* avx2_encoders();

void dequantize_q8_0(const void* source, float* y, int64_t n);
void dequantize_q4_0(const void* source, float* y, int64_t n);
void dequantize_q4_1(const void* source, float* y, int64_t n);
void dequantize_q5_0(const void* source, float* y, int64_t n);
void dequantize_q5_1(const void* source, float* y, int64_t n);
void dequantize_q4_k(const void* source, float* y, int64_t n);
void dequantize_q5_k(const void* source, float* y, int64_t n);
void dequantize_q6_k(const void* source, float* y, int64_t n);
void quantize_q8_0(const float* x, void* destination, int64_t n);
void quantize_q4_0(const float* x, void* destination, int64_t n);
void quantize_q4_1(const float* x, void* destination, int64_t n);
void quantize_q5_0(const float* x, void* destination, int64_t n);
void quantize_q5_1(const float* x, void* destination, int64_t n);
void quantize_q4_k(const float* x, void* destination, int64_t n);
void quantize_q5_k(const float* x, void* destination, int64_t n);
void quantize_q6_k(const float* x, void* destination, int64_t n);

}  // namespace hoist::quant
