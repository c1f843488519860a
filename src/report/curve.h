// Curves made fit to draw: thinned without losing what matters, and smoothed.
#pragma once

#include <cstddef>
#include <vector>

namespace hoist::report {

// Indices into `y`, ascending, at most `limit` of them (limit >= 4): the first, the last, and the least and
// the greatest finite value of each of equal stretches between. So no spike is lost, however long the run. A
// stretch without any finite value keeps one index, which draws as a gap. All of them where y is short
// enough.
std::vector<size_t> thin(const std::vector<double>& y, size_t limit);

// The mean of the finite values within window / 2 on either side; at the start, where a loss falls steeply,
// of equally many on both sides, so that the first value stays. NaN where no value near is finite.
std::vector<double> smooth(const std::vector<double>& y, size_t window);

// May be drawn: finite, and small enough that sums and differences of such values are finite too.
bool is_drawable(double value);

}  // namespace hoist::report
