// conv2d: two-dimensional cross-correlation with stride, dilation and uneven padding, and its two gradients.
//
//   x[batch, in, H, W], w[out, in, kh, kw] -> [batch, out, out_h, out_w]
//   y[n, o, r, c] = sum over i, s, t of x[n, i, r*stride_h + s*dilation_h - pad_top, ...] * w[o, i, s, t]
//
// with zeros outside x; out_h = (H + pad_top + pad_bottom - dilation_h * (kh - 1) - 1) / stride_h + 1. Axis
// names come from the operands, those of out_h and out_w from the attributes. H and W are window axes: a
// piece of the output needs a halo of the input, and only the outer edges are padded. Accumulates in f32 (f64
// for f64).
//
// `algorithm` names how (the reference kernels only know one way): implicit, explicit, winograd2, winograd4.
// It is part of the op because algorithms differ in their last bits: pieces of a batch, of the channels or of
// the image must go the way the whole goes. Winograd's is for 3 x 3 taps without stride or dilation, and is
// ignored elsewhere; winograd4 loses about two digits.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct Conv2dAttrs {
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  Symbol out_h, out_w;
  Symbol algorithm = "implicit";
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("stride_h", self.stride_h);
    v("stride_w", self.stride_w);
    v("dilation_h", self.dilation_h);
    v("dilation_w", self.dilation_w);
    v("pad_top", self.pad_top);
    v("pad_bottom", self.pad_bottom);
    v("pad_left", self.pad_left);
    v("pad_right", self.pad_right);
    v("out_h", self.out_h);
    v("out_w", self.out_w);
    v("algorithm", self.algorithm);
  }
};

// The attributes of a gradient also name and size the two axes that its operands lack: H, W of the input, or
// kh, kw.
struct Conv2dGradAttrs {
  Conv2dAttrs conv;
  Symbol h, w;
  int64_t size_h = 0, size_w = 0;
  DType to = DType::f32;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    Conv2dAttrs::fields(self.conv, v);
    v("h", self.h);
    v("w", self.w);
    v("size_h", self.size_h);
    v("size_w", self.size_w);
    v("to", self.to);
  }
};

struct Conv2dSizes {
  int64_t batch, in, out, kh, kw, out_h, out_w;
};
// The algorithm that should be fastest for these sizes. `packed`: the weights are packed ahead of time.
Symbol choose_conv2d(const Conv2dSizes& sizes, const Conv2dAttrs& attrs, bool packed);

ir::ValueId conv2d(ir::Builder& b, ir::ValueId x, ir::ValueId w, const Conv2dAttrs& attrs);
// dy[batch, out, out_h, out_w], w[out, in, kh, kw] -> dx[batch, in, h, w]
ir::ValueId conv2d_input_grad(ir::Builder& b, ir::ValueId dy, ir::ValueId w, const Conv2dGradAttrs& attrs);
// x[batch, in, H, W], dy[batch, out, out_h, out_w] -> dw[out, in, h, w]
ir::ValueId conv2d_weight_grad(ir::Builder& b, ir::ValueId x, ir::ValueId dy, const Conv2dGradAttrs& attrs);

extern const ir::OpDef kConv2d, kConv2dInputGrad, kConv2dWeightGrad;

}  // namespace hoist::ops
