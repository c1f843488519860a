// Mixture of experts without padding or dropping: sort the (token, choice) pairs by expert, contract each
// expert's run of rows with its own weights, and gather back by `position` (ops/embedding.h).
//
// Counts are data, so no expert has a capacity: rows of expert e are the e-th run, and rows past the last run
// belong to nobody and give zeros. Every piece holds all the counts, under an axis name of their own
// (`routed` below), and so finds its runs by itself: rows and experts may both be split.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct RouteSortAttrs {
  Symbol expert_axis, row_axis;  // names of the results' axes: of counts, and of source
  int64_t num_experts = 0;
  int64_t base = 0;  // of several sorts, each for its own experts: the first one; pairs of others sort last
                     // and are not counted
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("expert_axis", self.expert_axis);
    v("row_axis", self.row_axis);
    v("num_experts", self.num_experts);
    v("base", self.base);
  }
};
struct RouteSortResults {
  ir::ValueId source;    // i32 [rows = tokens * choices]: token * choices + choice of each row
  ir::ValueId position;  // i32 [tokens, choices]: the row of each pair, the inverse of source
  ir::ValueId counts;    // i32 [routed = num_experts]
  ir::ValueId token;     // i32 [rows]: source / choices, to gather rows by
};
// experts i32 [tokens, choices]. Stable: rows are in order of expert, then of flat index. Tokens may be live;
// then rows are, with a length of their own: whoever sets that of tokens sets this one to `choices` times it
// (or leaves it at its capacity; rows of nobody have source and token -1).
RouteSortResults route_sort(ir::Builder& b, ir::ValueId experts, const RouteSortAttrs& attrs);

struct GroupedAttrs {
  Symbol row_axis, expert_axis;
  AxisList out;  // the result's axes after its first
  DType to = DType::f32;
  int64_t num_experts = 0;                // grouped_outer only: the result's
  int64_t row_base = 0, expert_base = 0;  // where this piece's rows and experts begin
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("row_axis", self.row_axis);
    v("expert_axis", self.expert_axis);
    v("out", self.out);
    v("to", self.to);
    v("num_experts", self.num_experts);
    v("row_base", self.row_base);
    v("expert_base", self.expert_base);
  }
};
// x[rows, in...], w[experts, ...the axes in and out in any order], counts i32 [routed] -> [rows, out...]:
// each row contracted over `in` with its expert's weights; zeros when that expert is in another piece.
// Accumulates in f32 (f64 for f64). w may be weights in panels (ir/type.h, `format`): experts, the axes out,
// then the axes in, in x's order; the axes out of an expert must fill whole panels (a multiple of 16).
ir::ValueId grouped_contract(ir::Builder& b, ir::ValueId x, ir::ValueId w, ir::ValueId counts,
                             const GroupedAttrs& attrs);
// x[rows, a...], y[rows, b...], counts -> [experts, out...], `out` being a and b in any order: per expert,
// the sum over its rows of the outer product; the gradient of grouped_contract's weights.
ir::ValueId grouped_outer(ir::Builder& b, ir::ValueId x, ir::ValueId y, ir::ValueId counts,
                          const GroupedAttrs& attrs);

extern const ir::OpDef kRouteSort, kGroupedContract, kGroupedOuter;

}  // namespace hoist::ops
