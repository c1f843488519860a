#include "report/curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace hoist::report {

bool is_drawable(double value) { return std::abs(value) <= 1e100; }  // false for NaN

std::vector<size_t> thin(const std::vector<double>& y, size_t limit) {
  HOIST_CHECK(limit >= 4, "thin needs room for four points");
  const size_t n = y.size();
  std::vector<size_t> kept;
  if (n <= limit) {
    for (size_t i = 0; i < n; ++i) kept.push_back(i);
    return kept;
  }
  const size_t stretches = (limit - 2) / 2;
  kept.push_back(0);
  for (size_t s = 0; s < stretches; ++s) {
    const size_t begin = 1 + (n - 2) * s / stretches, end = 1 + (n - 2) * (s + 1) / stretches;
    size_t least = n, greatest = n;
    for (size_t i = begin; i < end; ++i) {
      if (!is_drawable(y[i])) continue;
      if (least == n || y[i] < y[least]) least = i;
      if (greatest == n || y[i] > y[greatest]) greatest = i;
    }
    if (least == n) least = greatest = begin;
    kept.push_back(std::min(least, greatest));
    if (least != greatest) kept.push_back(std::max(least, greatest));
  }
  kept.push_back(n - 1);
  return kept;
}

std::vector<double> smooth(const std::vector<double>& y, size_t window) {
  const size_t n = y.size(), half = window / 2;
  std::vector<double> sum(n + 1, 0), result(n);
  std::vector<size_t> count(n + 1, 0);
  for (size_t i = 0; i < n; ++i) {
    const bool use = is_drawable(y[i]);
    sum[i + 1] = sum[i] + (use ? y[i] : 0);
    count[i + 1] = count[i] + (use ? 1 : 0);
  }
  for (size_t i = 0; i < n; ++i) {
    const size_t before = std::min(half, i), after = std::min({half, n - 1 - i, i});
    const size_t begin = i - before, end = i + after + 1;
    const size_t values = count[end] - count[begin];
    result[i] = values == 0 ? std::numeric_limits<double>::quiet_NaN()
                            : (sum[end] - sum[begin]) / static_cast<double>(values);
  }
  return result;
}

}  // namespace hoist::report
