// Three ops that exist only in the tests of ir/.
#pragma once

#include <functional>
#include <string>

#include "ir/graph.h"

namespace hoist::testing {

struct ScaleAttrs {
  double by = 1;
  Symbol note;
  AxisList axes;
  IntList sizes;
  DType to = DType::f32;
  bool flag = false;
  int64_t count = 0;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("by", self.by);
    v("note", self.note);
    v("axes", self.axes);
    v("sizes", self.sizes);
    v("to", self.to);
    v("flag", self.flag);
    v("count", self.count);
  }
};

extern const ir::OpDef kScale;       // x -> the same type
extern const ir::OpDef kSplit;       // x -> two results of x's type
extern const ir::OpDef kAccumulate;  // (state, x) -> state, in place
extern const ir::OpDef kGather;      // a collective

const ir::OpDef* find_toy(std::string_view name);

// What the Error thrown by `body` says; "no error" when there is none.
std::string message_of(const std::function<void()>& body);

}  // namespace hoist::testing
