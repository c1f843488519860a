// Rotary position embedding (Su et al., "RoFormer", 2021).
//
// angle(t, j) = float(pos[t]) * freqs[j], one f32 product for every dtype of x (it decides bits at large
// positions); channels (j, j + half), or (2j, 2j + 1) when interleaved, turn by it:
//   y0 = scale * (x0 cos - x1 sin)     y1 = scale * (x1 cos + x0 sin)
// The first 2 * half channels turn, the others are copied. `inverse` turns the other way (the sine's sign),
// and keeps `scale`: that is the gradient.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct RopeFrequenciesAttrs {
  int64_t dim = 0;  // channels that turn; even
  double theta = 10000;
  Symbol scaling;                        // none (the empty name), linear, llama3
  double factor = 1, low = 1, high = 4;  // low, high: llama3's low_freq_factor and high_freq_factor
  double original = 8192;                // llama3's original_max_position_embeddings
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("dim", self.dim);
    v("theta", self.theta);
    v("scaling", self.scaling);
    v("factor", self.factor);
    v("low", self.low);
    v("high", self.high);
    v("original", self.original);
  }
};
// -> f32 [rope_half=dim/2]: theta^(-2j/dim), scaled; rounded to f32 at each step as transformers rounds it.
ir::ValueId rope_frequencies(ir::Builder& b, const RopeFrequenciesAttrs& attrs);

struct RopeAttrs {
  Symbol axis;
  double scale = 1;
  bool interleaved = false, inverse = false;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("scale", self.scale);
    v("interleaved", self.interleaved);
    v("inverse", self.inverse);
  }
};
// x [..., axis], pos i32 [a subset of x's leading axes, in order], freqs f32 [rope_half] -> like x.
ir::ValueId rope(ir::Builder& b, ir::ValueId x, ir::ValueId pos, ir::ValueId freqs, Symbol axis,
                 double scale = 1, bool interleaved = false, bool inverse = false);

extern const ir::OpDef kRopeFrequencies, kRope;

}  // namespace hoist::ops
