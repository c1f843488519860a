// attention_grad (declared in ops/attention.h): the gradient of attention, with probabilities recomputed from
// lse.
#include "ir/graph.h"
#include "ops/attention.h"
#include "ops/attention_parts.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Dim;
using ir::Example;
using ir::kNoValue;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

using namespace attention_internal;  // NOLINT: shared with attention.cc only

void infer(const OpView& view, std::vector<Type>& results) {
  const AttentionAttrs& a = view.attrs_as<AttentionAttrs>();
  const AttentionSlots slots = attention_slots(a, true);
  check_inputs(view, slots);
  auto operand = [&](int i) -> const Type& { return view.operands[static_cast<size_t>(i)]; };
  ir::expect(view, operand(slots.o) == output_type(view) && operand(slots.d_o) == output_type(view),
             "o and do must have the type of attention's result");
  ir::expect(view,
             operand(slots.lse) == statistic_type(view) &&
                 (slots.dlse < 0 || operand(slots.dlse) == statistic_type(view)),
             "lse and dlse must have the type of attention's lse");
  for (int i = 0; i < 3; ++i) results.push_back(operand(i));
  for (int i : {slots.bias, slots.sinks})
    if (i >= 0) results.push_back(operand(i).with_dtype(statistics_dtype(operand(0).dtype)));
}

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  const AttentionAttrs& a = view.attrs_as<AttentionAttrs>();
  const AttentionRoles roles = attention_roles(view.operands[0], view.operands[1], view.operands[2]);
  ir::RuleBuilder r{view, out};
  r.whole(roles.head_dim, "a score is nonlinear in the whole dot product");
  if (!(roles.v_dim == roles.head_dim)) {
    // ds = p (do.v - do.o + dlse) is linear in v_dim but for dlse, which every piece would add.
    if (a.has_dlse) {
      r.whole(roles.v_dim, "dlse must be added once");
    } else {
      r.merge(roles.v_dim, kSum);
    }
  }
  // dsinks needs p of the sink and do.o only: every piece of the keys has the same.
  ir::AxisRule& keys = r.merge(roles.k, kSum);
  if (a.has_sinks) keys.result.back() = {ir::AxisKind::kMap};
  for (const Dim& d : view.operands[0].dims)
    if (!(d.axis == roles.head_dim)) r.merge(d.axis, kSum);
}

std::vector<ValueId> decompose(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const AttentionAttrs& a = view.attrs_as<AttentionAttrs>();
  const AttentionSlots slots = attention_slots(a, true);
  auto operand = [&](int i) { return x[static_cast<size_t>(i)]; };
  auto type = [&](int i) -> const Type& { return view.operands[static_cast<size_t>(i)]; };
  const DType acc = statistics_dtype(type(0).dtype);
  const ValueId d_o = operand(slots.d_o), lse = operand(slots.lse);

  Scores scored = scores(b, view, x);
  ValueId p = probabilities(b, scored.s, lse);
  ValueId shift = contract(b, d_o, operand(slots.o), axes_of(type(slots.lse)), acc);
  if (slots.dlse >= 0) shift = sub(b, shift, operand(slots.dlse));
  ValueId dp = contract(b, d_o, operand(2), axes_of(score_type(view)), acc);
  ValueId ds = mul(b, p, sub(b, dp, shift));
  ValueId dv = contract(b, p, d_o, axes_of(type(2)), type(2).dtype);

  std::vector<ValueId> extra;
  if (slots.bias >= 0) {
    const Type& bias = type(slots.bias);
    ValueId d = reduce_to(b, ds, bias);
    if (!(axes_of(b.type(d)) == axes_of(bias))) d = transpose(b, d, axes_of(bias));
    extra.push_back(d);
  }
  if (slots.sinks >= 0) {
    ValueId p_sink = exp(b, sub(b, cast(b, operand(slots.sinks), acc), lse));
    extra.push_back(reduce_to(b, neg(b, mul(b, p_sink, shift)), type(slots.sinks)));
  }
  if (scored.tanh != kNoValue) ds = mul(b, ds, affine(b, square(b, scored.tanh), -1, 1));
  ds = affine(b, ds, a.scale);
  std::vector<ValueId> results = {contract(b, ds, operand(1), axes_of(type(0)), type(0).dtype),
                                  contract(b, ds, operand(0), axes_of(type(1)), type(1).dtype), dv};
  results.insert(results.end(), extra.begin(), extra.end());
  return results;
}

double flops(const OpView& view) {
  const Type &q = view.operands[0], &v = view.operands[2];
  const double pairs = static_cast<double>(statistic_type(view).elements()) *
                       static_cast<double>(score_type(view).dims.back().size);
  return 2 * pairs *
         (3.0 * static_cast<double>(q.dims.back().size) + 2.0 * static_cast<double>(v.dims.back().size));
}

}  // namespace

const OpDef kAttentionGrad = [] {
  OpDef op{"attention_grad", ir::attrs_info<AttentionAttrs>(), infer, rules};
  op.decompose = decompose;
  op.no_gradient = "a gradient itself; second derivatives are not taken";
  op.flops = flops;
  op.examples = [](std::vector<Example>& out) {
    for (Example& e : attention_examples(true)) out.push_back(std::move(e));
  };
  return op;
}();

AttentionGradResults attention_grad(Builder& b, const AttentionOperands& operands, ValueId o, ValueId lse,
                                    ValueId d_o, ValueId dlse, AttentionAttrs attrs) {
  std::vector<ValueId> x = gather_operands(b, operands, attrs);
  attrs.has_dlse = dlse != kNoValue;
  for (ValueId v : {o, lse, d_o}) x.push_back(v);
  if (attrs.has_dlse) x.push_back(dlse);
  std::vector<ValueId> r = b.emit(kAttentionGrad, Attrs::of(attrs), x);
  AttentionGradResults out{r[0], r[1], r[2]};
  size_t next = 3;
  if (attrs.has_bias) out.dbias = r[next++];
  if (attrs.has_sinks) out.dsinks = r[next++];
  return out;
}

}  // namespace hoist::ops
