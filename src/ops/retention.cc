#include "ops/retention.h"

#include "ops/common.h"
#include "ops/constants.h"
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
using ir::Fill;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

void infer(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 5);
  for (int i = 0; i < 5; ++i) expect_dense_float(view, i);
  const Type &q = view.operands[0], &k = view.operands[1], &v = view.operands[2];
  const int n = q.rank() - 3;
  ir::expect(view, n >= 0 && k == q, "expected q and k [.., seq, heads, d] of one type");
  ir::expect(view, v.rank() == q.rank() && v.dtype == q.dtype,
             "expected v [.., seq, heads, dv] in q's dtype");
  for (int i = 0; i < n + 2; ++i) ir::expect(view, q.dims[i] == v.dims[i], "q and v differ in an axis");
  ir::expect(view, q.dims[n].axis == view.attrs_as<RetentionAttrs>().seq_axis,
             "seq_axis must be third from last in q");
  ir::expect(view, !q.dims[n].live, "the sequence may not be live");
  const DType acc = statistics_dtype(q.dtype);
  Type state(acc, {});
  for (int i = 0; i < n; ++i) append_dim(view, state, q.dims[i]);
  for (const Dim& d : {q.dims[n + 1], q.dims[n + 2], v.dims[n + 2]}) append_dim(view, state, d);
  expect_type(view, 3, acc, {q.dims[n + 1]});
  expect_type(view, 4, acc, state.dims);
  results = {v, state};
}

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  ir::AxisRule& seq = r.map(view.attrs_as<RetentionAttrs>().seq_axis);
  seq.result[0] = seq.result[1] = {ir::AxisKind::kScan};
  seq.carry_operand = 4;
  seq.carry_result = 1;
  r.merge(view.operands[0].dims.back().axis, kSum);  // o = q S is a sum over d; the state has d
  r.map_rest();
}

Symbol fresh(const OpView& view, std::string name) {
  auto used = [&] {
    for (const Type& t : view.operands)
      if (t.has(name)) return true;
    return false;
  };
  while (used()) name += "_";
  return name;
}

// The parallel form: o = (q k^T * D) v + decay^(n+1) q S_0 with D[n, m] = decay^(n-m) for m <= n, else 0;
// state' = decay^N S_0 + sum over m of decay^(N-1-m) k_m^T v_m.
std::vector<ValueId> decompose(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const Type &q_type = view.operands[0], &v_type = view.operands[2], &state_type = view.operands[4];
  const int lead = q_type.rank() - 3;
  const Symbol seq = q_type.dims[lead].axis, heads = q_type.dims[lead + 1].axis, past = fresh(view, "past");
  const int64_t n = q_type.dims[lead].size;
  const DType acc = statistics_dtype(q_type.dtype);
  const ValueId q = widen(b, x[0]), k = widen(b, x[1]), v = widen(b, x[2]), state = x[4];
  const ValueId log_decay = log(b, x[3]);

  const ValueId zeros = full(b, 0, acc, {seq, past}, {n, n});
  const ValueId index = iota(b, seq, n, 0, acc);
  const ValueId apart =
      sub(b, broadcast_like(b, index, zeros), broadcast_like(b, iota(b, past, n, 0, acc), zeros));
  const ValueId causal = greater_equal(b, apart, zeros);
  auto power = [&](ValueId exponent, AxisList axes) {
    return exp(b, contract(b, log_decay, exponent, axes, acc));
  };
  const ValueId decays = mul(b, power(maximum(b, apart, zeros), {heads, seq, past}), causal);

  AxisList scores_axes;
  for (int i = 0; i < lead; ++i) scores_axes.push_back(q_type.dims[i].axis);
  for (Symbol axis : {heads, seq, past}) scores_axes.push_back(axis);
  ValueId scores = mul(b, contract(b, q, rename(b, k, {seq}, {past}), scores_axes, acc), decays);
  ValueId inner = contract(b, scores, rename(b, v, {seq}, {past}), axes_of(v_type), acc);
  ValueId before = mul(b, q, power(affine(b, index, 1, 1), {seq, heads}));
  ValueId o = add(b, inner, contract(b, before, state, axes_of(v_type), acc));

  ValueId kept = mul(b, k, power(affine(b, index, -1, static_cast<double>(n - 1)), {seq, heads}));
  ValueId next = add(b, contract(b, kept, v, axes_of(state_type), acc),
                     mul(b, state, exp(b, affine(b, log_decay, static_cast<double>(n)))));
  return {cast(b, o, q_type.dtype), next};
}

// Per position and head: the state decays (d dv) and gains k^T v (2 d dv), and q reads it (2 d dv).
double flops(const OpView& view) {
  return 5.0 * static_cast<double>(view.operands[0].elements()) *
         static_cast<double>(view.operands[2].dims.back().size);
}

void examples(std::vector<Example>& out) {
  auto add = [&](const char* note, ir::Dims lead, int64_t n, int64_t d, int64_t dv, Fill state) {
    auto type = [&](std::initializer_list<Dim> inner) {
      Type t(DType::f32, lead);
      for (const Dim& dim : inner) t.dims.push_back(dim);
      return t;
    };
    const Dim seq{"seq", n}, heads{"heads", 2}, key{"head_dim", d}, value{"v_dim", dv};
    const Type qk = type({seq, heads, key}), v = type({seq, heads, value}), s = type({heads, key, value});
    out.push_back({note,
                   Attrs::of(RetentionAttrs{"seq"}),
                   {{qk}, {qk}, {v}, {Type(DType::f32, {heads}), Fill::kPositive}, {s, state}}});
  };
  add("from nothing", {}, 5, 4, 4, Fill::kZero);
  add("carry, unequal widths", {}, 6, 3, 5, Fill::kNormal);
  add("batched carry", {{"batch", 2}}, 5, 4, 3, Fill::kNormal);
  add("one step", {{"batch", 2}}, 1, 4, 4, Fill::kNormal);
}

}  // namespace

const OpDef kRetention = [] {
  OpDef op{"retention", ir::attrs_info<RetentionAttrs>(), infer, rules};
  op.decompose = decompose;
  op.flops = flops;
  op.examples = examples;
  return op;
}();

RetentionResults retention(Builder& b, ValueId q, ValueId k, ValueId v, ValueId decay, ValueId state) {
  RetentionAttrs attrs;
  const Type& t = b.type(q);
  if (t.rank() >= 3) attrs.seq_axis = t.dims[t.rank() - 3].axis;  // else infer refuses
  const ValueId x[] = {q, k, v, decay, state};
  std::vector<ValueId> r = b.emit(kRetention, Attrs::of(attrs), x);
  return {r[0], r[1]};
}

}  // namespace hoist::ops
