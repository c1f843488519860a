// From the axes of an op to the groups of a Gemm (gemm.h): where each axis lies in x, w and the result is
// known when the plan is made, sizes come with each run.
#pragma once

#include <cstdint>

#include "base/inline_vec.h"
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/kernel.h"

namespace hoist::kernels::cpu {

// An axis's place in a, b and the result; -1: absent.
struct AxisPlace {
  int8_t a, b, c;
};

class GroupMaker {
 public:
  GroupMaker(const TensorView& a, const TensorView& b, const TensorView& c)
      : tensor_{&a, &b, &c}, stride_{strides(a), strides(b), strides(c)} {}

  // Any list of AxisPlace, outermost first.
  template <class Places>
  AxisGroup operator()(const Places& places) const {
    AxisGroup group;
    for (const AxisPlace& p : places)
      group.add(p.a >= 0 ? tensor_[0]->dims[p.a] : tensor_[1]->dims[p.b], at(0, p.a), at(1, p.b), at(2, p.c));
    return group;
  }

 private:
  using Strides = InlineVec<int64_t, 8>;  // in elements
  static Strides strides(const TensorView& t) {
    Strides s = t.dims;
    int64_t stride = 1;
    for (int i = t.dims.size() - 1; i >= 0; stride *= t.dims[i--]) s[i] = stride;
    return s;
  }
  int64_t at(int tensor, int8_t dim) const { return dim >= 0 ? stride_[tensor][dim] : 0; }

  const TensorView* tensor_[3];
  Strides stride_[3];
};

}  // namespace hoist::kernels::cpu
