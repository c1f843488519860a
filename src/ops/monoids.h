// The monoids that merged axes use (ir/rules.h). Combines are graph ops; partials come in index order.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

extern const ir::Monoid kSum;           // (x): x + y
extern const ir::Monoid kMax;           // (x): max(x, y)
extern const ir::Monoid kLogSumExp;     // (lse): log(exp a + exp b), empty pieces are -inf
extern const ir::Monoid kSoftmaxState;  // (o, lse): attention over a part of the keys
extern const ir::Monoid kArgMax;        // (value, index): the larger value, ties to the lower index

// By name ("sum", "max", ...), for collectives; nullptr if unknown.
const ir::Monoid* find_monoid(Symbol name);

}  // namespace hoist::ops
