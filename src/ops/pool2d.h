// Pooling over windows of an image: the largest number, or the average.
//
//   x[batch, channels, H, W] -> [batch, channels, out_h, out_w]
//
// with windows of kh x kw taps; out_h = (H + pad_top + pad_bottom - kh) / stride_h + 1. Padding is less than
// a window: it never wins a maximum, and counts as zeros in an average (the divisor is always kh * kw). A NaN
// in a window is its maximum. The gradient of a maximum goes to the first tap that has it, in row-major
// order. H and W are window axes.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct Pool2dAttrs {
  int64_t kh = 2, kw = 2, stride_h = 2, stride_w = 2;
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  Symbol out_h, out_w;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("kh", self.kh);
    v("kw", self.kw);
    v("stride_h", self.stride_h);
    v("stride_w", self.stride_w);
    v("pad_top", self.pad_top);
    v("pad_bottom", self.pad_bottom);
    v("pad_left", self.pad_left);
    v("pad_right", self.pad_right);
    v("out_h", self.out_h);
    v("out_w", self.out_w);
  }
};
ir::ValueId max_pool2d(ir::Builder& b, ir::ValueId x, const Pool2dAttrs& attrs);
ir::ValueId average_pool2d(ir::Builder& b, ir::ValueId x, const Pool2dAttrs& attrs);

// The average's gradient needs no x: its attributes name and size the axes instead.
struct AveragePool2dGradAttrs {
  Pool2dAttrs pool;
  Symbol h, w;
  int64_t size_h = 0, size_w = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    Pool2dAttrs::fields(self.pool, v);
    v("h", self.h);
    v("w", self.w);
    v("size_h", self.size_h);
    v("size_w", self.size_w);
  }
};
// x, dy -> dx like x.
ir::ValueId max_pool2d_grad(ir::Builder& b, ir::ValueId x, ir::ValueId dy, const Pool2dAttrs& attrs);
// dy -> dx [batch, channels, h, w].
ir::ValueId average_pool2d_grad(ir::Builder& b, ir::ValueId dy, const AveragePool2dGradAttrs& attrs);

extern const ir::OpDef kMaxPool2d, kMaxPool2dGrad, kAveragePool2d, kAveragePool2dGrad;

}  // namespace hoist::ops
