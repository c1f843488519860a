// The 256 values of dynamic quantization, and the table that finds the nearest.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "ops/block_states.h"

namespace hoist::ops {

namespace {

DynamicCode make_code(bool is_signed) {
  DynamicCode code;
  std::vector<double> values = {0, 1};
  for (int decade = 0; decade < 7; ++decade) {
    // Middles of equal parts of [0.1, 1], times 10^-6 .. 1.
    const int parts = 1 << (is_signed ? decade : decade + 1);
    const double scale = std::pow(10.0, decade - 6), width = 0.9 / parts;
    for (int i = 0; i < parts; ++i) {
      const double x = scale * (0.1 + width * (i + 0.5));
      values.push_back(x);
      if (is_signed) values.push_back(-x);
    }
  }
  HOIST_CHECK(values.size() == 256, "a code has 256 values");
  std::sort(values.begin(), values.end());
  for (size_t i = 0; i < 256; ++i) code.values[i] = static_cast<float>(values[i]);
  for (size_t i = 0; i < 255; ++i)
    code.middles[i] = static_cast<float>((static_cast<double>(code.values[i]) + code.values[i + 1]) / 2);
  code.middles[255] = INFINITY;

  auto search = [&](float x) {
    return static_cast<int>(std::lower_bound(code.middles.begin(), code.middles.end() - 1, x) -
                            code.middles.begin());
  };
  for (uint32_t prefix = 0; prefix < 65536; ++prefix) {
    const float a = std::bit_cast<float>(prefix << 16), z = std::bit_cast<float>(prefix << 16 | 0xffff);
    if (std::isnan(a) || std::isnan(z)) {
      code.guess[prefix] = static_cast<uint8_t>(std::isnan(a) ? search(0.0f) : search(a));
      continue;
    }
    const int low = search(std::min(a, z)), high = search(std::max(a, z));
    HOIST_CHECK(high - low <= 1, "two middles share a prefix");
    code.guess[prefix] = static_cast<uint8_t>(low);
  }
  return code;
}

}  // namespace

const DynamicCode& dynamic_code(bool is_signed) {
  static const DynamicCode with_sign = make_code(true), without = make_code(false);
  return is_signed ? with_sign : without;
}

}  // namespace hoist::ops
