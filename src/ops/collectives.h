// Collectives over a mesh dimension: ops of one rank's graph (Stage::kLocal), run by comm/. Ranks of a mesh
// dimension are numbered 0..ranks-1; pieces are concatenated, and partial values combined, in that order.
//
// Gradients follow the convention of tensor parallelism. A value that came out of all_reduce is the same on
// every rank, and so is its gradient: all_reduce(sum) passes it through. A gathered value is used by each
// rank for its own share of the work, so its gradient is partial on each rank: all_gather's gradient is
// reduce_scatter(sum), and reduce_scatter's is all_gather. all_to_all's gradient is all_to_all with the axes
// swapped.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct AllReduceAttrs {
  Symbol mesh;
  Symbol monoid = "sum";  // "sum" or "max"
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("mesh", self.mesh);
    v("monoid", self.monoid);
  }
};
struct GatherAttrs {
  Symbol mesh;
  int64_t ranks = 1;
  Symbol axis;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("mesh", self.mesh);
    v("ranks", self.ranks);
    v("axis", self.axis);
  }
};
struct ReduceScatterAttrs {
  Symbol mesh;
  int64_t ranks = 1;
  Symbol axis;
  Symbol monoid = "sum";  // "sum" or "max"
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("mesh", self.mesh);
    v("ranks", self.ranks);
    v("axis", self.axis);
    v("monoid", self.monoid);
  }
};
struct AllToAllAttrs {
  Symbol mesh;
  int64_t ranks = 1;
  Symbol split_axis, concat_axis;
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("mesh", self.mesh);
    v("ranks", self.ranks);
    v("split_axis", self.split_axis);
    v("concat_axis", self.concat_axis);
  }
};

// x -> the combination of every rank's x.
ir::ValueId all_reduce(ir::Builder& b, ir::ValueId x, const AllReduceAttrs& attrs);
// x[.., axis = n, ..] -> [.., axis = n * ranks, ..]; an x without the axis gets it, outermost: [axis = ranks,
// ..]
ir::ValueId all_gather(ir::Builder& b, ir::ValueId x, const GatherAttrs& attrs);
// x[.., axis = n, ..] -> [.., axis = n / ranks, ..]: this rank's piece of the combination. ranks divides n.
ir::ValueId reduce_scatter(ir::Builder& b, ir::ValueId x, const ReduceScatterAttrs& attrs);
// x[.., split = n, .., concat = m, ..] -> [.., split = n / ranks, .., concat = m * ranks, ..]: piece r of
// split goes to rank r, which puts what it receives side by side along concat.
ir::ValueId all_to_all(ir::Builder& b, ir::ValueId x, const AllToAllAttrs& attrs);

extern const ir::OpDef kAllReduce, kAllGather, kReduceScatter, kAllToAll;

}  // namespace hoist::ops
