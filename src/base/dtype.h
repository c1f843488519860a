// Element types of tensors, and the conversions between the 16-bit floats and float.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hoist {

enum class DType : uint8_t { f32, f64, bf16, f16, i32, i64, u8, i8 };

// Bytes of one element.
int64_t dtype_size(DType dtype);
// "f32", "bf16", ... as used in graph text.
std::string_view dtype_name(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);
inline bool is_float(DType d) {
  return d == DType::f32 || d == DType::f64 || d == DType::bf16 || d == DType::f16;
}

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

inline float to_float(bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }

// Round to nearest, ties to even; NaN stays a (quiet) NaN.
inline bf16 to_bf16(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40)};
  u += 0x7fffu + ((u >> 16) & 1);
  return {static_cast<uint16_t>(u >> 16)};
}

float to_float(f16 x);
f16 to_f16(float x);

}  // namespace hoist
