#include "data/digits.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/rng.h"

namespace hoist::data {

namespace {

struct Point {
  double x, y;
};

// One stroke for each digit, in a unit square, y downwards.
constexpr Point kZero[] = {{.5, .05}, {.25, .2}, {.2, .5},  {.25, .8}, {.5, .95},
                           {.75, .8}, {.8, .5},  {.75, .2}, {.5, .05}};
constexpr Point kOne[] = {{.3, .25}, {.55, .05}, {.55, .95}};
constexpr Point kTwo[] = {{.22, .25}, {.4, .06}, {.65, .08}, {.78, .28}, {.65, .5}, {.2, .95}, {.82, .95}};
constexpr Point kThree[] = {{.22, .12}, {.55, .05}, {.76, .2},  {.7, .4}, {.45, .48},
                            {.74, .58}, {.78, .8},  {.55, .95}, {.2, .86}};
constexpr Point kFour[] = {{.62, .95}, {.62, .05}, {.18, .65}, {.85, .65}};
constexpr Point kFive[] = {{.76, .06}, {.3, .06}, {.25, .45}, {.58, .4},
                           {.78, .6},  {.7, .86}, {.45, .95}, {.2, .85}};
constexpr Point kSix[] = {{.7, .08}, {.4, .25}, {.24, .6}, {.32, .88}, {.56, .95},
                          {.76, .8}, {.7, .58}, {.48, .5}, {.26, .64}};
constexpr Point kSeven[] = {{.18, .06}, {.82, .06}, {.42, .95}};
constexpr Point kEight[] = {{.5, .48},  {.28, .34}, {.3, .14}, {.5, .05},  {.7, .14},  {.72, .34}, {.5, .48},
                            {.24, .66}, {.26, .86}, {.5, .95}, {.74, .86}, {.76, .66}, {.5, .48}};
constexpr Point kNine[] = {{.74, .36}, {.52, .5},  {.3, .42}, {.24, .2}, {.44, .05},
                           {.68, .12}, {.74, .36}, {.68, .7}, {.5, .95}};
constexpr std::span<const Point> kStrokes[] = {kZero, kOne, kTwo,   kThree, kFour,
                                               kFive, kSix, kSeven, kEight, kNine};

double distance(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  const double t = length > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length, 0.0, 1.0) : 0.0;
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

}  // namespace

int32_t draw_digit(uint64_t seed, int64_t index, float* pixels) {
  const CounterRng rng(seed, static_cast<uint64_t>(index));
  uint64_t draws = 0;
  auto between = [&](double low, double high) { return low + (high - low) * rng.uniform(draws++); };
  const auto label = static_cast<int32_t>(rng.below(draws++, 10));
  const double turn = between(-0.3, 0.3), lean = between(-0.25, 0.25), wide = between(11, 17),
               high = between(15, 21);
  const double middle_x = kDigitSize / 2.0 + between(-2.5, 2.5),
               middle_y = kDigitSize / 2.0 + between(-2.5, 2.5);
  const double thick = between(0.8, 1.7), ink = between(0.7, 1.0), cosine = std::cos(turn),
               sine = std::sin(turn);
  Point line[16];
  size_t count = 0;
  for (const Point& p : kStrokes[label]) {
    const double x = (p.x - 0.5 + between(-0.04, 0.04)) * wide, y = (p.y - 0.5 + between(-0.04, 0.04)) * high;
    const double leaning = x - lean * y;
    line[count++] = {middle_x + cosine * leaning - sine * y, middle_y + sine * leaning + cosine * y};
  }
  for (int64_t r = 0; r < kDigitSize; ++r)
    for (int64_t c = 0; c < kDigitSize; ++c) {
      double nearest = 1e9;
      const Point at = {static_cast<double>(c) + 0.5, static_cast<double>(r) + 0.5};
      for (size_t i = 0; i + 1 < count; ++i) nearest = std::min(nearest, distance(at, line[i], line[i + 1]));
      const double value = ink * std::clamp(thick + 0.5 - nearest, 0.0, 1.0) + 0.1 * rng.normal(draws++);
      pixels[r * kDigitSize + c] = static_cast<float>((value - 0.15) * 3);
    }
  return label;
}

}  // namespace hoist::data
