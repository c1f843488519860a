// Conversions of the 16-bit floats: every pattern, and every place where rounding turns.
#include "base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hoist {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Written from the definition of the formats, in double: no shifting of bits between formats.
double value_of(uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? std::nan("") : sign * HUGE_VAL;
  const double fraction = std::ldexp(mantissa, -mantissa_bits);
  return sign * (exponent ? std::ldexp(1 + fraction, exponent - bias) : std::ldexp(fraction, 1 - bias));
}

struct Bf16 {
  static double value(uint16_t bits) { return value_of(bits, 8, 7); }
  static float widen(uint16_t bits) { return to_float(bf16{bits}); }
  static uint16_t narrow(float x) { return to_bf16(x).bits; }
  static constexpr uint16_t kInfinity = 0x7f80;
};
struct F16 {
  static double value(uint16_t bits) { return value_of(bits, 5, 10); }
  static float widen(uint16_t bits) { return to_float(f16{bits}); }
  static uint16_t narrow(float x) { return to_f16(x).bits; }
  static constexpr uint16_t kInfinity = 0x7c00;
};

template <class F>
class Narrow : public ::testing::Test {};
using Formats = ::testing::Types<Bf16, F16>;
TYPED_TEST_SUITE(Narrow, Formats);

TYPED_TEST(Narrow, EveryPatternWidensExactly) {
  for (int i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const double want = TypeParam::value(bits);
    const float got = TypeParam::widen(bits);
    ASSERT_TRUE(std::isnan(want) ? std::isnan(got) : want == static_cast<double>(got)) << std::hex << i;
    ASSERT_EQ(std::signbit(got), bits >> 15 != 0) << std::hex << i;
  }
}

TYPED_TEST(Narrow, EveryPatternSurvivesTheRoundTrip) {
  for (int i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float wide = TypeParam::widen(bits);
    const uint16_t back = TypeParam::narrow(wide);
    if (std::isnan(wide))
      ASSERT_TRUE(std::isnan(TypeParam::value(back))) << std::hex << i;
    else
      ASSERT_EQ(back, bits) << std::hex << i;
  }
}

// Rounding is monotone, so it is right everywhere if it is right on both sides of each halfway point and at
// it.
TYPED_TEST(Narrow, RoundsToNearestAndTiesToEven) {
  for (uint16_t bits = 0; bits < TypeParam::kInfinity; ++bits) {
    const auto above = static_cast<uint16_t>(bits + 1);
    const double low = TypeParam::value(bits);
    // Past the largest finite value the next step would be a full one.
    const double high =
        above == TypeParam::kInfinity ? low + (low - TypeParam::value(bits - 1)) : TypeParam::value(above);
    const auto middle = static_cast<float>((low + high) / 2);  // exact: one bit more than the format has
    ASSERT_EQ(static_cast<double>(middle), (low + high) / 2);
    const uint16_t even = bits % 2 == 0 ? bits : above;
    ASSERT_EQ(TypeParam::narrow(middle), even) << std::hex << bits;
    ASSERT_EQ(TypeParam::narrow(std::nextafter(middle, 0.0f)), bits) << std::hex << bits;
    ASSERT_EQ(TypeParam::narrow(std::nextafter(middle, kInf)), above) << std::hex << bits;
    ASSERT_EQ(TypeParam::narrow(-middle), even | 0x8000) << std::hex << bits;
  }
}

TYPED_TEST(Narrow, SpecialValues) {
  EXPECT_EQ(TypeParam::narrow(kInf), TypeParam::kInfinity);
  EXPECT_EQ(TypeParam::narrow(-kInf), TypeParam::kInfinity | 0x8000);
  EXPECT_EQ(TypeParam::narrow(std::numeric_limits<float>::max()), TypeParam::kInfinity);
  EXPECT_EQ(TypeParam::narrow(0.0f), 0);
  EXPECT_EQ(TypeParam::narrow(-0.0f), 0x8000);
  EXPECT_EQ(TypeParam::narrow(std::numeric_limits<float>::denorm_min()), 0);
  // Every NaN stays one, whatever bits it carries: the low ones alone must not turn into an infinity.
  for (uint32_t payload : {1u, 0x7fffu, 0x8000u, 0x3fffffu, 0x400000u, 0x7fffffu})
    for (uint32_t sign : {0u, 0x80000000u}) {
      const uint16_t bits = TypeParam::narrow(std::bit_cast<float>(sign | 0x7f800000u | payload));
      EXPECT_TRUE(std::isnan(TypeParam::value(bits))) << std::hex << payload;
    }
}

TEST(DTypeNames, NamesAndSizes) {
  for (int i = 0; i <= static_cast<int>(DType::i8); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
  }
  EXPECT_EQ(dtype_from_name("f8"), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
  EXPECT_EQ(dtype_size(DType::f64), 8);
  EXPECT_EQ(dtype_size(DType::bf16), 2);
  EXPECT_TRUE(is_float(DType::f16));
  EXPECT_FALSE(is_float(DType::i32));
}

}  // namespace
}  // namespace hoist
