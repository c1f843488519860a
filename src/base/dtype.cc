#include "base/dtype.h"

namespace hoist {

namespace {
struct Row {
  DType dtype;
  std::string_view name;
  int64_t size;
};
constexpr Row kRows[] = {
    {DType::f32, "f32", 4}, {DType::f64, "f64", 8}, {DType::bf16, "bf16", 2}, {DType::f16, "f16", 2},
    {DType::i32, "i32", 4}, {DType::i64, "i64", 8}, {DType::u8, "u8", 1},     {DType::i8, "i8", 1},
};
}  // namespace

int64_t dtype_size(DType dtype) { return kRows[static_cast<int>(dtype)].size; }
std::string_view dtype_name(DType dtype) { return kRows[static_cast<int>(dtype)].name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Row& row : kRows)
    if (row.name == name) return row.dtype;
  return std::nullopt;
}

float to_float(f16 x) {
  uint32_t sign = uint32_t{x.bits & 0x8000u} << 16;
  uint32_t exponent = (x.bits >> 10) & 31;
  uint32_t mantissa = x.bits & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  // Zero or subnormal: mantissa * 2^-24, exact in float.
  float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-08f;
  return sign ? -magnitude : magnitude;
}

f16 to_f16(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000u);
  u &= 0x7fffffffu;
  if (u > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (u >= 0x47800000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // >= 65536: infinity
  if (u < 0x38800000u) {  // below 2^-14: the addition rounds to a multiple of 2^-24
    float shifted = std::bit_cast<float>(u) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u))};
  }
  u += 0xfffu + ((u >> 13) & 1);
  uint32_t half = (u >> 13) - (112u << 10);
  return {static_cast<uint16_t>(sign | (half > 0x7c00u ? 0x7c00u : half))};
}

}  // namespace hoist
