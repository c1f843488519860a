// Rows of int8 KV pools: `width` signed bytes and two more that hold their scale.
//
//   x = byte * scale, scale = (1 + (a + 128) / 256) * 2^b, where a and b are the row's last two bytes,
//   signed; b = 127: every element of the row is NaN.
//
// A row of x is stored with the smallest such scale that keeps |byte| <= 127 (b >= -120), bytes rounded to
// nearest even; a row with a number that is not finite is stored as NaN. Any bytes make a row that reads
// back.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace hoist::ops {

constexpr int64_t kKvScaleBytes = 2;

struct KvScale {
  int8_t a = -128, b = 127;
  float value() const {
    if (b == 127) return std::numeric_limits<float>::quiet_NaN();
    return std::ldexp(1.0f + static_cast<float>(a + 128) / 256.0f, b);
  }
};

// For a row whose largest magnitude is `top`: infinity or NaN when an element is.
inline KvScale kv_scale(float top) {
  if (!(top <= std::numeric_limits<float>::max())) return {};
  int exponent = 0;
  const float fraction = std::frexp(top / 127.0f, &exponent);  // [0.5, 1), or 0
  int b = exponent - 1, step = static_cast<int>(std::ceil((2 * fraction - 1) * 256.0f));
  if (step == 256) ++b, step = 0;
  if (fraction == 0 || b < -120) b = -120, step = 0;
  return {static_cast<int8_t>(step - 128), static_cast<int8_t>(b)};
}

}  // namespace hoist::ops
