// Ops that rename, regroup, reorder, cut and join axes. They move elements and compute nothing; any dtype.
//
// rename, split_axis and merge_axes are views: the same bytes under another type. slice, concat and pad shift
// indices along their axis (rule `segments`), so that axis must not be live.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct RenameAttrs {
  AxisList from, to;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("from", self.from);
    v("to", self.to);
  }
};
// Axis from[i] becomes to[i]; the others keep their names.
ir::ValueId rename(ir::Builder& b, ir::ValueId x, const AxisList& from, const AxisList& to);

struct SplitAxisAttrs {
  Symbol axis;
  AxisList into;  // outermost first
  IntList sizes;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("into", self.into);
    v("sizes", self.sizes);
  }
};
// [.., axis, ..] -> [.., into[0]=sizes[0], into[1]=sizes[1], .., ..]; the product of sizes is axis's size.
ir::ValueId split_axis(ir::Builder& b, ir::ValueId x, Symbol axis, const AxisList& into,
                       const IntList& sizes);

struct MergeAxesAttrs {
  AxisList axes;  // adjacent in x, in x's order
  Symbol into;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axes", self.axes);
    v("into", self.into);
  }
};
// The inverse of split_axis.
ir::ValueId merge_axes(ir::Builder& b, ir::ValueId x, const AxisList& axes, Symbol into);

struct TransposeAttrs {
  AxisList axes;  // the result's order
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axes", self.axes);
  }
};
// `axes` is a permutation of x's. A live axis stays outermost.
ir::ValueId transpose(ir::Builder& b, ir::ValueId x, const AxisList& axes);

struct SliceAttrs {
  Symbol axis;
  int64_t start = 0, size = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("start", self.start);
    v("size", self.size);
  }
};
ir::ValueId slice(ir::Builder& b, ir::ValueId x, Symbol axis, int64_t start, int64_t size);

struct ConcatAttrs {
  Symbol axis;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
  }
};
// One to 16 operands that differ in the size of `axis` only, joined in order.
ir::ValueId concat(ir::Builder& b, std::span<const ir::ValueId> xs, Symbol axis);

struct PadAttrs {
  Symbol axis;
  int64_t lo = 0, hi = 0;
  double value = 0;  // converted to x's dtype
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("lo", self.lo);
    v("hi", self.hi);
    v("value", self.value);
  }
};
// `lo` elements before and `hi` after.
ir::ValueId pad(ir::Builder& b, ir::ValueId x, Symbol axis, int64_t lo, int64_t hi, double value = 0);

extern const ir::OpDef kRename, kSplitAxis, kMergeAxes, kTranspose, kSlice, kConcat, kPad;

}  // namespace hoist::ops
