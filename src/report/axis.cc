#include "report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "report/text.h"

namespace hoist::report {
namespace {

constexpr size_t kMostTicks = 8;  // between the ends of a range, of a scale of values
constexpr double kAir = 0.04;     // of the range, above and below

// The round step (1, 2 or 5 times a power of ten) that marks `span` about `wanted` times, at most that often.
double round_step(double span, size_t wanted) {
  const double raw = span / static_cast<double>(wanted),
               magnitude = std::pow(10, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0})
    if (factor * magnitude >= raw * (1 - 1e-9)) return factor * magnitude;
  return 10 * magnitude;
}

// Labels of one axis share a unit and the number of decimals that `step` needs.
std::string label(double v, double step, double largest) {
  if (v == 0) return "0";
  if (largest < 0.01 || largest >= 1e13) return trim_exponent(fmt::format("{:.3e}", v));
  double unit = 1;
  const char* suffix = "";
  if (largest >= 1e9) {
    unit = 1e9, suffix = "B";
  } else if (largest >= 1e6) {
    unit = 1e6, suffix = "M";
  } else if (largest >= 1e4) {
    unit = 1e3, suffix = "k";
  }
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step / unit) - 1e-9)), 0, 8);
  return fmt::format("{:.{}f}{}", v / unit, decimals, suffix);
}

std::vector<Tick> linear_ticks(double low, double high, size_t wanted, double least_step = 0) {
  std::vector<Tick> ticks;
  const double step = std::max(round_step(high - low, wanted), least_step);
  const double largest = std::max(std::abs(low), std::abs(high));
  const double first = std::ceil(low / step - 1e-9), last = std::floor(high / step + 1e-9);
  for (double i = first; i <= last; ++i) ticks.push_back({i * step, label(i * step, step, largest)});
  return ticks;
}

std::vector<Tick> power_ticks(double low, double high, std::initializer_list<double> factors) {
  std::vector<Tick> ticks;
  const int first = static_cast<int>(std::floor(std::log10(low))), last = static_cast<int>(std::log10(high));
  for (int power = first; power <= last + 1; ++power)
    for (double factor : factors) {
      const double v = factor * std::pow(10, power);
      if (v >= low && v <= high) {
        const bool plain = v >= 0.001 && v < 10000;
        ticks.push_back({v, plain ? fmt::format("{:g}", v) : trim_exponent(fmt::format("{:.3e}", v))});
      }
    }
  return ticks;
}

// Gives a range that is a single value some width, relative to it.
void widen(double& low, double& high) {
  if (high - low > 1e-9 * std::max(std::abs(low), std::abs(high))) return;
  const double by = low == 0 ? 1 : std::abs(low) * 0.1;
  low -= by;
  high += by;
}

}  // namespace

double Axis::place(double value) const {
  if (logarithmic) return (std::log(value) - std::log(low)) / (std::log(high) - std::log(low));
  return (value - low) / (high - low);
}

Axis linear_axis(double low, double high, bool from_zero) {
  if (from_zero && low >= 0) {
    low = 0;
    if (high == 0) high = 1;
    high *= 1 + kAir;
  } else {
    widen(low, high);
    const double air = (high - low) * kAir;
    low -= air;
    high += air;
  }
  return {low, high, false, linear_ticks(low, high, kMostTicks)};
}

Axis logarithmic_axis(double low, double high) {
  widen(low, high);
  const double air = std::pow(high / low, kAir);
  low /= air;
  high *= air;
  std::vector<Tick> ticks = power_ticks(low, high, {1});
  if (ticks.size() > kMostTicks) {
    const size_t every = (ticks.size() + kMostTicks - 1) / kMostTicks;
    std::vector<Tick> some;
    for (size_t i = 0; i < ticks.size(); i += every) some.push_back(ticks[i]);
    return {low, high, true, some};
  }
  if (ticks.size() < 4) ticks = power_ticks(low, high, {1, 3});
  if (ticks.size() < 4) ticks = power_ticks(low, high, {1, 2, 5});
  if (ticks.size() < 3) ticks = linear_ticks(low, high, kMostTicks);
  return {low, high, true, ticks};
}

Axis step_axis(double first, double last) {
  if (first >= last) {
    first -= 1;
    last = first + 2;
  }
  return {first, last, false, linear_ticks(first, last, 6, 1)};
}

Axis range_axis(double first, double last) {
  widen(first, last);
  return {first, last, false, linear_ticks(first, last, 6)};
}

}  // namespace hoist::report
