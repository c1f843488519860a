// conv2d and its gradients: one loop over outputs and taps, three things to do with each pair.
#include "ops/conv2d.h"

#include <algorithm>

#include "kernels/ref/any_float.h"

namespace hoist::kernels::ref {

namespace {

using ops::Conv2dAttrs;

// Images x, weights w and outputs y of one convolution, whichever of them is the result.
struct Conv {
  const Conv2dAttrs& a;
  const TensorView &x, &w, &y;

  // The input row or column that a tap of an output reads; it may lie in the padding.
  int64_t row(int64_t r, int64_t s) const { return r * a.stride_h + s * a.dilation_h - a.pad_top; }
  int64_t column(int64_t c, int64_t t) const { return c * a.stride_w + t * a.dilation_w - a.pad_left; }
  bool inside(int64_t row, int64_t column) const {
    return row >= 0 && row < x.dims[2] && column >= 0 && column < x.dims[3];
  }
};

int64_t index(const TensorView& t, int64_t a, int64_t b, int64_t c, int64_t d) {
  return ((a * t.dims[1] + b) * t.dims[2] + c) * t.dims[3] + d;
}

template <class F>
void each_index(const TensorView& t, F f) {
  for (int64_t a = 0; a < t.dims[0]; ++a)
    for (int64_t b = 0; b < t.dims[1]; ++b)
      for (int64_t c = 0; c < t.dims[2]; ++c)
        for (int64_t d = 0; d < t.dims[3]; ++d) f(a, b, c, d);
}

void forward(const KernelArgs& args) noexcept {
  const Conv k{args.attrs.as<Conv2dAttrs>(), args.operands[0], args.operands[1], args.results[0]};
  each_index(k.y, [&](int64_t n, int64_t o, int64_t r, int64_t c) {
    double sum = 0;
    for (int64_t i = 0; i < k.w.dims[1]; ++i)
      for (int64_t s = 0; s < k.w.dims[2]; ++s)
        for (int64_t t = 0; t < k.w.dims[3]; ++t)
          if (const int64_t h = k.row(r, s), w = k.column(c, t); k.inside(h, w))
            sum += load(k.x, index(k.x, n, i, h, w)) * load(k.w, index(k.w, o, i, s, t));
    store(k.y, index(k.y, n, o, r, c), sum);
  });
}

// The output that reads input `at` by tap `tap`, or -1.
int64_t reader(int64_t at, int64_t tap, int64_t stride, int64_t dilation, int64_t pad, int64_t outputs) {
  const int64_t shifted = at + pad - tap * dilation;
  return shifted < 0 || shifted % stride || shifted / stride >= outputs ? -1 : shifted / stride;
}

void input_grad(const KernelArgs& args) noexcept {
  const Conv k{args.attrs.as<ops::Conv2dGradAttrs>().conv, args.results[0], args.operands[1],
               args.operands[0]};
  each_index(k.x, [&](int64_t n, int64_t i, int64_t h, int64_t w) {
    double sum = 0;
    for (int64_t o = 0; o < k.w.dims[0]; ++o)
      for (int64_t s = 0; s < k.w.dims[2]; ++s)
        for (int64_t t = 0; t < k.w.dims[3]; ++t) {
          const int64_t r = reader(h, s, k.a.stride_h, k.a.dilation_h, k.a.pad_top, k.y.dims[2]);
          const int64_t c = reader(w, t, k.a.stride_w, k.a.dilation_w, k.a.pad_left, k.y.dims[3]);
          if (r >= 0 && c >= 0) sum += load(k.y, index(k.y, n, o, r, c)) * load(k.w, index(k.w, o, i, s, t));
        }
    store(k.x, index(k.x, n, i, h, w), sum);
  });
}

void weight_grad(const KernelArgs& args) noexcept {
  const Conv k{args.attrs.as<ops::Conv2dGradAttrs>().conv, args.operands[0], args.results[0],
               args.operands[1]};
  each_index(k.w, [&](int64_t o, int64_t i, int64_t s, int64_t t) {
    double sum = 0;
    for (int64_t n = 0; n < k.x.dims[0]; ++n)
      for (int64_t r = 0; r < k.y.dims[2]; ++r)
        for (int64_t c = 0; c < k.y.dims[3]; ++c)
          if (const int64_t h = k.row(r, s), w = k.column(c, t); k.inside(h, w))
            sum += load(k.x, index(k.x, n, i, h, w)) * load(k.y, index(k.y, n, o, r, c));
    store(k.w, index(k.w, o, i, s, t), sum);
  });
}

}  // namespace

Kernels conv2d_kernels() {
  static constexpr Kernel kKernels[] = {
      {"conv2d", "ref", supports_dense, forward},
      {"conv2d_input_grad", "ref", supports_dense, input_grad},
      {"conv2d_weight_grad", "ref", supports_dense, weight_grad},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
