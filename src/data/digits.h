// Synthetic digits: pictures of 0 to 9 drawn as strokes, each bent, turned, moved and blurred at random.
//
// A picture is a function of (seed, index) alone, whatever the machine, the threads or the order: training
// sets and held-out sets are ranges of indices, and nothing is stored or downloaded.
#pragma once

#include <cstdint>

namespace hoist::data {

constexpr int64_t kDigitSize = 28;  // pixels along an edge

// Writes kDigitSize^2 pixels, row by row, mean about zero; returns the label, 0 to 9.
int32_t draw_digit(uint64_t seed, int64_t index, float* pixels);

}  // namespace hoist::data
