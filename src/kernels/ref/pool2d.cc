// Pooling: one loop over windows, four things to do with each.
#include "ops/pool2d.h"

#include <algorithm>

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

using ops::Pool2dAttrs;

// each(output index, first row, end row, first column, end column, offset of the input's plane)
template <class Each>
void over_windows(const Pool2dAttrs& a, const TensorView& x, const TensorView& y, Each each) {
  const int64_t h = x.dims[2], w = x.dims[3], out_h = y.dims[2], out_w = y.dims[3];
  for (int64_t p = 0; p < x.dims[0] * x.dims[1]; ++p)
    for (int64_t r = 0; r < out_h; ++r)
      for (int64_t c = 0; c < out_w; ++c) {
        const int64_t row = r * a.stride_h - a.pad_top, column = c * a.stride_w - a.pad_left;
        each((p * out_h + r) * out_w + c, std::max<int64_t>(row, 0), std::min(row + a.kh, h),
             std::max<int64_t>(column, 0), std::min(column + a.kw, w), p * h * w);
      }
}

// The first of the largest; a NaN is larger than any number.
template <class T>
int64_t largest(const T* plane, int64_t width, int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
  int64_t best = r0 * width + c0;
  for (int64_t r = r0; r < r1; ++r)
    for (int64_t c = c0; c < c1; ++c) {
      const int64_t i = r * width + c;
      if (get(plane[i]) > get(plane[best]) || (std::isnan(get(plane[i])) && !std::isnan(get(plane[best]))))
        best = i;
    }
  return best;
}

void max_forward(const KernelArgs& args) noexcept {
  const int64_t width = args.operands[0].dims[3];
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    over_windows(args.attrs.as<Pool2dAttrs>(), args.operands[0], args.results[0],
                 [&](int64_t y, int64_t r0, int64_t r1, int64_t c0, int64_t c1, int64_t plane) {
                   const T* x = args.in<T>(0) + plane;
                   args.out<T>(0)[y] = x[largest(x, width, r0, r1, c0, c1)];
                 });
  });
}

void average_forward(const KernelArgs& args) noexcept {
  const Pool2dAttrs& a = args.attrs.as<Pool2dAttrs>();
  const int64_t width = args.operands[0].dims[3];
  const double taps = static_cast<double>(a.kh) * static_cast<double>(a.kw);
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    over_windows(a, args.operands[0], args.results[0],
                 [&](int64_t y, int64_t r0, int64_t r1, int64_t c0, int64_t c1, int64_t plane) {
                   double sum = 0;
                   for (int64_t r = r0; r < r1; ++r)
                     for (int64_t c = c0; c < c1; ++c) sum += get(args.in<T>(0)[plane + r * width + c]);
                   put(args.out<T>(0)[y], sum / taps);
                 });
  });
}

// Sums of the input's gradient in double.
int64_t grad_workspace(const ir::OpView& view, int) { return view.results[0].elements() * 8; }

template <class Each>
void gather_grad(const KernelArgs& args, const Pool2dAttrs& a, const TensorView& dy, Each each) {
  const TensorView& dx = args.results[0];
  double* sums = reinterpret_cast<double*>(args.workspace);
  std::fill_n(sums, dx.elements(), 0.0);
  dispatch_float(dx.dtype, [&](auto t) {
    using T = decltype(t);
    over_windows(a, dx, dy, [&](int64_t y, int64_t r0, int64_t r1, int64_t c0, int64_t c1, int64_t plane) {
      each(T{}, sums + plane, get(dy.as<const T>()[y]), r0, r1, c0, c1, plane);
    });
    for (int64_t i = 0; i < dx.elements(); ++i) put(dx.as<T>()[i], sums[i]);
  });
}

void max_grad(const KernelArgs& args) noexcept {
  const int64_t width = args.operands[0].dims[3];
  gather_grad(
      args, args.attrs.as<Pool2dAttrs>(), args.operands[1],
      [&](auto t, double* sums, double d, int64_t r0, int64_t r1, int64_t c0, int64_t c1, int64_t plane) {
        sums[largest(args.in<decltype(t)>(0) + plane, width, r0, r1, c0, c1)] += d;
      });
}

void average_grad(const KernelArgs& args) noexcept {
  const Pool2dAttrs& a = args.attrs.as<ops::AveragePool2dGradAttrs>().pool;
  const int64_t width = args.results[0].dims[3];
  const double taps = static_cast<double>(a.kh) * static_cast<double>(a.kw);
  gather_grad(args, a, args.operands[0],
              [&](auto, double* sums, double d, int64_t r0, int64_t r1, int64_t c0, int64_t c1, int64_t) {
                for (int64_t r = r0; r < r1; ++r)
                  for (int64_t c = c0; c < c1; ++c) sums[r * width + c] += d / taps;
              });
}

}  // namespace

Kernels pool2d_kernels() {
  static constexpr Kernel kKernels[] = {
      {"max_pool2d", "ref", supports_dense, max_forward},
      {"max_pool2d_grad", "ref", supports_dense, max_grad, nullptr, grad_workspace},
      {"average_pool2d", "ref", supports_dense, average_forward},
      {"average_pool2d_grad", "ref", supports_dense, average_grad, nullptr, grad_workspace},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
