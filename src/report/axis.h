// Axes: the range a chart shows and the round values it marks.
#pragma once

#include <string>
#include <vector>

namespace hoist::report {

struct Tick {
  double value;
  std::string label;
};

struct Axis {
  double low = 0, high = 1;  // low < high; both positive on a logarithmic axis
  bool logarithmic = false;
  std::vector<Tick> ticks;  // ascending, within the range
  // Where a value stands, 0 at low to 1 at high.
  double place(double value) const;
};

// Values from low to high (low <= high, both drawable), with a little air; from zero if asked and possible.
Axis linear_axis(double low, double high, bool from_zero);
// low > 0.
Axis logarithmic_axis(double low, double high);
// Counts of steps, without air: the curves reach both ends.
Axis step_axis(double first, double last);
// The same for any numbers.
Axis range_axis(double first, double last);

}  // namespace hoist::report
