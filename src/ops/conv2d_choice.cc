// The chooser of conv2d's algorithm: an estimate of cycles by shape.
#include "ops/conv2d.h"

namespace hoist::ops {

namespace {

double up(int64_t n, int64_t unit) { return static_cast<double>((n + unit - 1) / unit * unit); }

// Cycles of one core with 16 lanes, up to a common factor: multiply-adds, the transforms per tile and
// channel, and the weights that come from beyond a core's own cache (more, where they are packed first).
double winograd_cycles(const Conv2dSizes& s, int64_t m, bool packed) {
  const double tiles = static_cast<double>(s.batch * ((s.out_h + m - 1) / m) * ((s.out_w + m - 1) / m));
  const double numbers = static_cast<double>((m + 2) * (m + 2)), in = up(s.in, 16), out = up(s.out, 32);
  const double multiply = numbers * tiles * in * out / 16 / 0.85;
  const double transform = tiles * (in + out) / 16 * (m == 2 ? 140 : 340);
  return multiply + transform + numbers * in * out * (packed ? 0.35 : 0.8);
}

double direct_cycles(const Conv2dSizes& s, bool packed) {
  const double taps = static_cast<double>(s.kh * s.kw), in = static_cast<double>(s.in), out = up(s.out, 32);
  const double pixels = static_cast<double>(s.batch * s.out_h * s.out_w);
  return pixels * in * out * taps / 16 / 0.88 + taps * in * out * (packed ? 0.2 : 0.5);
}

}  // namespace

Symbol choose_conv2d(const Conv2dSizes& s, const Conv2dAttrs& a, bool packed) {
  Symbol best = Conv2dAttrs{}.algorithm;
  const bool winograd = s.kh == 3 && s.kw == 3 && a.stride_h == 1 && a.stride_w == 1 && a.dilation_h == 1 &&
                        a.dilation_w == 1 && a.pad_top <= 2 && a.pad_left <= 2;
  if (!winograd) return best;
  double cycles = direct_cycles(s, packed);
  if (const double c = winograd_cycles(s, 2, packed); c < cycles) cycles = c, best = "winograd2";
  if (const double c = winograd_cycles(s, 4, packed); c < cycles) best = "winograd4";
  return best;
}

}  // namespace hoist::ops
