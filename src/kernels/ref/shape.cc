// Ops that only move elements.
#include "ops/shape.h"

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// rename, split_axis, merge_axes: executors alias them; run on their own, they copy.
void run_view(const KernelArgs& args) noexcept {
  const TensorView& x = args.operands[0];
  if (args.results[0].data != x.data)
    std::memcpy(args.results[0].data, x.data, static_cast<size_t>(x.elements() * dtype_size(x.dtype)));
}

bool supports_view(const ir::OpView& view) {
  return view.operands[0].bytes() == view.results[0].bytes() && supports_dense(view);
}

void run_transpose(const KernelArgs& args) noexcept {
  const Space space(args.prepared.as<Nest>(), args);
  dispatch_width(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    space.each([&](const Offsets& at) { args.out<T>(0)[at[1]] = args.in<T>(0)[at[0]]; });
  });
}

// The dimension that `axis` (the first field of these attributes) has in operand 0.
template <class A>
void prepare_dim(const ir::OpView& view, Prepared& prepared) {
  prepared.store(view.operands[0].find(view.attrs_as<A>().axis));
}

// Copies x's rows [from, from + n) along a dimension to y's rows [to, to + n). Both have the same other
// dimensions.
void copy_rows(const TensorView& x, const TensorView& y, int dim, int64_t from, int64_t to, int64_t n) {
  const Around in(x, dim), out(y, dim);
  const int64_t row = in.inner * dtype_size(x.dtype);
  if (n == 0 || row == 0) return;
  for (int64_t o = 0; o < in.outer; ++o)
    std::memcpy(y.data + (o * out.n + to) * row, x.data + (o * in.n + from) * row,
                static_cast<size_t>(n * row));
}

void run_slice(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::SliceAttrs>();
  copy_rows(args.operands[0], args.results[0], args.prepared.as<int>(), a.start, 0, a.size);
}

void run_concat(const KernelArgs& args) noexcept {
  const int dim = args.prepared.as<int>();
  int64_t to = 0;
  for (const TensorView& x : args.operands) {
    copy_rows(x, args.results[0], dim, 0, to, x.dims[dim]);
    to += x.dims[dim];
  }
}

void run_pad(const KernelArgs& args) noexcept {
  const auto& a = args.attrs.as<ops::PadAttrs>();
  const TensorView &x = args.operands[0], &y = args.results[0];
  dispatch(y.dtype, [&](auto t) {
    const int64_t n = y.elements();
    for (int64_t i = 0; i < n; ++i) put(y.as<decltype(t)>()[i], a.value);
  });
  const int dim = args.prepared.as<int>();
  copy_rows(x, y, dim, 0, a.lo, x.dims[dim]);
}

}  // namespace

Kernels shape_kernels() {
  static constexpr Kernel kKernels[] = {
      {"rename", "ref", supports_view, run_view},
      {"split_axis", "ref", supports_view, run_view},
      {"merge_axes", "ref", supports_view, run_view},
      {"transpose", "ref", supports_dense, run_transpose, prepare_result_nest},
      {"slice", "ref", supports_dense, run_slice, prepare_dim<ops::SliceAttrs>},
      {"concat", "ref", supports_dense, run_concat, prepare_dim<ops::ConcatAttrs>},
      {"pad", "ref", supports_dense, run_pad, prepare_dim<ops::PadAttrs>},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
