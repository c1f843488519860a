// Axis rules: what an op says about splitting, per axis and per result (docs/architecture.md, idea 1).
//
// A rule axis is one independent index of the op's definition (the `m` of `m k, k n -> m n`). It names the
// dimension it occupies in each operand and result (-1: absent) and, for each result, what splitting the
// axis into contiguous pieces does to that result:
//   map      the piece of the result (or, where the result lacks the axis, the same result from any piece)
//   merge    partial results that combine by a monoid
//   scan     pieces run in order; a carry result feeds a carry operand of the next piece
//   window   as map, but a piece needs neighbours (halo) and only the outer edges are padded
//   segments indices shift (concat, slice, pad): reshard first
//   whole    may not be split
// `indexed` marks an axis that an index operand addresses: a piece is told its base through `set_base`; an
// index outside the piece yields the monoid's identity (merge) or touches nothing (map).
// `phased` marks a merge whose partial is not the op itself: partial values are computed from each piece,
// merged, and the op is finished per piece; every result is then mapped.
// Sharding, chunking, cost and the property tests all read these rules; no pass knows an op by name.
#pragma once

#include <span>
#include <vector>

#include "ir/type.h"

namespace hoist::ir {

class Builder;
struct Attrs;
struct OpView;
using ValueId = int32_t;
constexpr ValueId kNoValue = -1;

// An associative combination of tuples with an identity. `combine` emits graph ops; `a` comes from the lower
// global index. Merges are always folded left to right in index order (the law of order).
struct Monoid {
  const char* name;
  int arity;
  std::vector<ValueId> (*combine)(Builder& b, std::span<const ValueId> a, std::span<const ValueId> other);
};

enum class AxisKind : uint8_t { kWhole, kMap, kMerge, kScan, kWindow, kSegments };
const char* axis_kind_name(AxisKind kind);

struct ResultRule {
  AxisKind kind = AxisKind::kWhole;
  // kMerge: results [tuple, tuple + monoid->arity) combine together.
  const Monoid* monoid = nullptr;
  int8_t tuple = 0;
};

struct PhasedMerge {
  const Monoid* monoid;
  // From a piece's operands, the partial tuple (monoid->arity values).
  std::vector<ValueId> (*partial)(Builder& b, const OpView& piece, std::span<const ValueId> operands);
  // From a piece's operands and the merged tuple, the op's results on that piece. `extent` is the whole
  // axis's size.
  std::vector<ValueId> (*finish)(Builder& b, const OpView& piece, std::span<const ValueId> operands,
                                 std::span<const ValueId> merged, int64_t extent);
};

// Neighbours that a piece of the result needs: result index r reads inputs r*stride + tap*dilation - pad_lo
// for tap in [0, taps). Indices outside the whole input are padding.
struct Window {
  int64_t taps = 0;  // 0: no window
  int64_t stride = 1, dilation = 1, pad_lo = 0, pad_hi = 0;
  // Sets the padding of a piece (interior edges have none).
  void (*set_padding)(Attrs& attrs, int64_t lo, int64_t hi) = nullptr;
};

struct AxisRule {
  static constexpr int kMaxOperands = 16;
  static constexpr int kMaxResults = 8;
  Axis axis;           // the name shown to people; unique within the op
  int64_t extent = 0;  // the whole size
  int64_t grain = 1;   // pieces start at multiples of this
  // A dimension may be a whole multiple of `extent` (split_axis): a piece covers the same fraction of it.
  InlineVec<int8_t, kMaxOperands> operand_dim;
  InlineVec<int8_t, kMaxResults> result_dim;
  InlineVec<ResultRule, kMaxResults> result;
  bool indexed = false;
  // indexed, or ops that know their own sizes. Adds to the base that is there, so that pieces have pieces.
  void (*set_base)(Attrs& attrs, int64_t base) = nullptr;
  // Ops whose attributes hold this axis's size (full, one_hot, split): replaces it by the piece's.
  void (*set_extent)(Attrs& attrs, int64_t extent) = nullptr;
  int8_t carry_operand = -1, carry_result = -1;  // kScan
  Window window;                                 // kWindow
  const PhasedMerge* phased = nullptr;
  const char* why_whole = nullptr;  // the reason, for people, when some result is kWhole or kSegments

  bool splittable() const;  // every result is map, merge, scan or window
};

// Helpers for writing rules. `dims_of` finds the axis in each operand and result by name.
struct RuleBuilder {
  const OpView& op;
  std::vector<AxisRule>& out;
  // A rule for `axis`, located by name in every operand and result, every result kMap.
  AxisRule& map(Axis axis);
  // As map; results that lack the axis get kMerge with the monoid.
  AxisRule& merge(Axis axis, const Monoid& monoid);
  AxisRule& whole(Axis axis, const char* why);
  // A rule map(axis) for every axis of every operand and result that has no rule yet.
  void map_rest();
};

}  // namespace hoist::ir
