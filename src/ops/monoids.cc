#include "ops/monoids.h"

#include "ir/graph.h"
#include "ops/common.h"
#include "ops/constants.h"
#include "ops/elementwise.h"

namespace hoist::ops {

using ir::Builder;
using ir::Monoid;
using ir::ValueId;

namespace {

using Values = std::vector<ValueId>;
using Tuple = std::span<const ValueId>;

// At least a number far below every logit, so that differences of two minus infinities are not NaN.
ValueId finite(Builder& b, ValueId lse) { return maximum(b, lse, full(b, -1e30, b.type(lse).dtype)); }

ValueId merge_lse(Builder& b, ValueId x, ValueId y) {
  ValueId top = finite(b, maximum(b, x, y));
  ValueId sum = add(b, exp(b, sub(b, x, top)), exp(b, sub(b, y, top)));
  return add(b, log(b, sum), top);
}

Values merge_softmax_state(Builder& b, Tuple x, Tuple y) {
  ValueId lse = merge_lse(b, x[1], y[1]), top = finite(b, lse);
  auto weighted = [&](Tuple t) { return mul(b, widen(b, t[0]), exp(b, sub(b, t[1], top))); };
  return {cast(b, add(b, weighted(x), weighted(y)), b.type(x[0]).dtype), lse};
}

Values merge_arg_max(Builder& b, Tuple x, Tuple y) {
  // Selecting goes through f64, which holds every i32 and every float dtype exactly.
  auto wide = [&](ValueId v) { return cast(b, v, DType::f64); };
  ValueId vx = wide(x[0]), vy = wide(y[0]), first = greater_equal(b, vx, vy);
  return {cast(b, select(b, first, vx, vy), b.type(x[0]).dtype),
          cast(b, select(b, first, wide(x[1]), wide(y[1])), DType::i32)};
}

}  // namespace

const Monoid kSum = {"sum", 1, [](Builder& b, Tuple x, Tuple y) { return Values{add(b, x[0], y[0])}; }};
const Monoid kMax = {"max", 1, [](Builder& b, Tuple x, Tuple y) { return Values{maximum(b, x[0], y[0])}; }};
const Monoid kLogSumExp = {"log_sum_exp", 1,
                           [](Builder& b, Tuple x, Tuple y) { return Values{merge_lse(b, x[0], y[0])}; }};
const Monoid kSoftmaxState = {"softmax_state", 2, merge_softmax_state};
const Monoid kArgMax = {"arg_max", 2, merge_arg_max};

const Monoid* find_monoid(Symbol name) {
  for (const Monoid* m : {&kSum, &kMax, &kLogSumExp, &kSoftmaxState, &kArgMax})
    if (name.name() == m->name) return m;
  return nullptr;
}

}  // namespace hoist::ops
