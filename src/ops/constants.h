// Constants and index patterns. The attributes hold the sizes; a piece is told its own (rules: set_extent,
// set_base).
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct FullAttrs {
  double value = 0;  // converted to dtype
  DType dtype = DType::f32;
  AxisList axes;
  IntList sizes;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("value", self.value);
    v("dtype", self.dtype);
    v("axes", self.axes);
    v("sizes", self.sizes);
  }
};
// No operands -> [axes]; a scalar when axes is empty.
ir::ValueId full(ir::Builder& b, double value, DType dtype, const AxisList& axes = {},
                 const IntList& sizes = {});
// x's type, filled with one value; x's elements are not read, live axes stay live.
ir::ValueId full_like(ir::Builder& b, double value, ir::ValueId x);
ir::ValueId zeros_like(ir::Builder& b, ir::ValueId x);

struct IotaAttrs {
  Symbol axis;
  int64_t size = 0, base = 0;
  DType dtype = DType::i32;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("size", self.size);
    v("base", self.base);
    v("dtype", self.dtype);
  }
};
// [axis=size]: base, base + 1, ...
ir::ValueId iota(ir::Builder& b, Symbol axis, int64_t size, int64_t base = 0, DType dtype = DType::i32);

struct ValuesAttrs {
  Symbol axis;
  NumberList values;  // 1 to 16 finite numbers
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("values", self.values);
  }
};
// f32 [axis]: any number of finite values, joined from as many ops as it takes.
ir::ValueId values(ir::Builder& b, Symbol axis, std::span<const double> list);

struct OneHotAttrs {
  Symbol axis;
  int64_t size = 0, base = 0;
  DType to = DType::f32;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
    v("size", self.size);
    v("base", self.base);
    v("to", self.to);
  }
};
// ids i32[...] -> [..., axis=size]: 1 where the element's index + base equals the id. An id outside
// [base, base + size) gives a row of zeros.
ir::ValueId one_hot(ir::Builder& b, ir::ValueId ids, Symbol axis, int64_t size, int64_t base = 0,
                    DType to = DType::f32);

extern const ir::OpDef kFull, kIota, kValues, kOneHot;

}  // namespace hoist::ops
