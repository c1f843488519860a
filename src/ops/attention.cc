#include "ops/attention.h"

#include "ir/graph.h"
#include "ops/attention_parts.h"
#include "ops/constants.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Dim;
using ir::Example;
using ir::ExampleOperand;
using ir::Fill;
using ir::GradContext;
using ir::kNoValue;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

AttentionRoles attention_roles(const Type& q, const Type& k, const Type& v) {
  const int n = q.rank() - 4;
  return {n,
          q.dims[n].axis,
          k.dims[n].axis,
          q.dims[n + 1].axis,
          q.dims[n + 2].axis,
          q.dims[n + 3].axis,
          v.dims[n + 2].axis};
}

AttentionSlots attention_slots(const AttentionAttrs& attrs, bool grad) {
  AttentionSlots s;
  int next = 5;
  if (attrs.has_segments) s.q_seg = next++, s.k_seg = next++;
  if (attrs.has_bias) s.bias = next++;
  if (attrs.has_sinks) s.sinks = next++;
  if (grad) s.o = next++, s.lse = next++, s.d_o = next++;
  if (grad && attrs.has_dlse) s.dlse = next++;
  s.count = next;
  return s;
}

namespace attention_internal {

namespace {

void check_positions(const OpView& view, const Type& t, const Type& lead, const Dim& role) {
  ir::expect(view, t.dtype == DType::i32 && t.rank() >= 1 && t.dims.back() == role,
             "positions and segments must be i32 and end in the axis of their queries or keys");
  ir::expect(view, is_subset(t.without(role.axis), lead),
             "leading axes of positions and segments must be among those of q, in order");
}

bool dense_float(const Type& t) { return is_float(t.dtype) && t.format.empty(); }

}  // namespace

Type score_type(const OpView& view) {
  Type t = statistic_type(view);
  t.dims.push_back(view.operands[1].dims[view.operands[0].rank() - 4]);
  return t;
}

Type bias_type(const OpView& view) {
  const Type &q = view.operands[0], &k = view.operands[1];
  const int n = q.rank() - 4;
  Type t(statistics_dtype(q.dtype), {});
  for (int i = 0; i < n; ++i) t.dims.push_back(q.dims[i]);
  for (const Dim& d : {q.dims[n + 1], q.dims[n + 2], q.dims[n], k.dims[n]}) t.dims.push_back(d);
  return t;
}

void check_inputs(const OpView& view, const AttentionSlots& slots) {
  const AttentionAttrs& a = view.attrs_as<AttentionAttrs>();
  ir::expect_operands(view, slots.count);
  const Type &q = view.operands[0], &k = view.operands[1], &v = view.operands[2];
  const int n = q.rank() - 4;
  ir::expect(view, n >= 0 && k.rank() == n + 3 && v.rank() == n + 3,
             "expected q[.., Q, kv_heads, group, head_dim], k[.., K, kv_heads, head_dim], v[.., K, kv_heads, "
             "v_dim]");
  ir::expect(view, dense_float(q) && dense_float(k) && dense_float(v), "q, k and v must be dense floats");
  const bool f64 = q.dtype == DType::f64;
  ir::expect(view, (k.dtype == DType::f64) == f64 && (v.dtype == DType::f64) == f64,
             "f64 does not mix with other types");
  Type lead;
  for (int i = 0; i < n; ++i) {
    ir::expect(view, q.dims[i] == k.dims[i] && q.dims[i] == v.dims[i], "leading axes of q, k and v differ");
    lead.dims.push_back(q.dims[i]);
  }
  ir::expect(view,
             k.dims[n] == v.dims[n] && q.dims[n + 1] == k.dims[n + 1] && q.dims[n + 1] == v.dims[n + 1] &&
                 q.dims[n + 3] == k.dims[n + 2],
             "q, k and v differ in keys, kv_heads or head_dim");
  ir::expect(view, q.dims[n].axis == a.q_axis && k.dims[n].axis == a.k_axis && !q.has(a.k_axis),
             "q_axis and k_axis must name the axes of queries and keys, and differ");
  ir::expect(view, !q.has(v.dims[n + 2].axis) || v.dims[n + 2].axis == q.dims[n + 3].axis,
             "v's last axis must be its own or head_dim");
  ir::expect(view, a.window >= 0 && a.softcap >= 0, "window and softcap must not be negative");
  check_positions(view, view.operands[3], lead, q.dims[n]);
  check_positions(view, view.operands[4], lead, k.dims[n]);
  if (slots.q_seg >= 0) {
    check_positions(view, view.operands[static_cast<size_t>(slots.q_seg)], lead, q.dims[n]);
    check_positions(view, view.operands[static_cast<size_t>(slots.k_seg)], lead, k.dims[n]);
  }
  auto f64_as_q = [&](const Type& t) { return dense_float(t) && (t.dtype == DType::f64) == f64; };
  if (slots.bias >= 0) {
    const Type& bias = view.operands[static_cast<size_t>(slots.bias)];
    ir::expect(view, f64_as_q(bias) && is_subset(bias, bias_type(view)),
               "bias must be float, its axes among (leading, kv_heads, group, Q, K) in that order");
  }
  if (slots.sinks >= 0) {
    const Type& sinks = view.operands[static_cast<size_t>(slots.sinks)];
    ir::expect(view, f64_as_q(sinks) && sinks.dims == ir::Dims{q.dims[n + 1], q.dims[n + 2]},
               "sinks must be float [kv_heads, group]");
  }
}

Type output_type(const OpView& view) {
  Type t = view.operands[0];
  t.dims.back() = view.operands[2].dims.back();
  return t;
}

Type statistic_type(const OpView& view) {
  Type t = view.operands[0].with_dtype(statistics_dtype(view.operands[0].dtype));
  t.dims.pop_back();
  return t;
}

Scores scores(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const AttentionAttrs& a = view.attrs_as<AttentionAttrs>();
  const AttentionSlots slots = attention_slots(a, false);
  const DType acc = statistics_dtype(view.operands[0].dtype);
  const Type scored = score_type(view);
  Scores r;
  r.s = affine(b, contract(b, x[0], x[1], axes_of(scored), acc), a.scale);
  if (a.softcap > 0) {
    r.tanh = tanh(b, affine(b, r.s, 1 / a.softcap));
    r.s = affine(b, r.tanh, a.softcap);
  }
  if (slots.bias >= 0) {
    const auto at = static_cast<size_t>(slots.bias);
    AxisList order;
    for (const Dim& d : scored.dims)
      if (view.operands[at].has(d.axis)) order.push_back(d.axis);
    ValueId bias = x[at];
    if (!(order == axes_of(view.operands[at]))) bias = transpose(b, bias, order);
    r.s = add(b, r.s, cast(b, bias, acc));
  }
  std::vector<ValueId> positions = {x[3], x[4]};
  if (slots.q_seg >= 0)
    positions.insert(positions.end(),
                     {x[static_cast<size_t>(slots.q_seg)], x[static_cast<size_t>(slots.k_seg)]});
  r.s = add(b, r.s, cast(b, attention_mask(b, positions, a), acc));
  return r;
}

ValueId probabilities(Builder& b, ValueId s, ValueId lse) {
  // A row that sees no key has lse = -inf; any finite stand-in makes exp(-inf - lse) the zero it should be.
  ValueId floor = full(b, -1e30, b.type(lse).dtype);
  return exp(b, sub(b, s, maximum(b, lse, floor)));
}

}  // namespace attention_internal

namespace {

using namespace attention_internal;  // NOLINT: shared with attention_grad.cc only

void infer(const OpView& view, std::vector<Type>& results) {
  check_inputs(view, attention_slots(view.attrs_as<AttentionAttrs>(), false));
  results.push_back(output_type(view));
  results.push_back(statistic_type(view));
}

// The log-sum-exp with each head's sink among the terms.
ValueId with_sinks(Builder& b, ValueId lse, ValueId sinks) {
  const std::vector<ValueId> keys = {lse}, sink = {broadcast_like(b, widen(b, sinks), lse)};
  return kLogSumExp.combine(b, keys, sink)[0];
}

std::vector<ValueId> partial(Builder& b, const OpView& piece, std::span<const ValueId> operands) {
  AttentionAttrs a = piece.attrs_as<AttentionAttrs>();
  std::vector<ValueId> x(operands.begin(), operands.end());
  x.erase(x.begin() + attention_slots(a, false).sinks);
  a.has_sinks = false;
  return b.emit(kAttention, Attrs::of(a), x);
}

// A sink joins the denominator once, however many pieces the keys are in.
std::vector<ValueId> finish(Builder& b, const OpView& piece, std::span<const ValueId> operands,
                            std::span<const ValueId> merged, int64_t) {
  const int at = attention_slots(piece.attrs_as<AttentionAttrs>(), false).sinks;
  const ValueId o = merged[0], lse = merged[1];
  ValueId all = with_sinks(b, lse, operands[static_cast<size_t>(at)]);
  return {cast(b, mul(b, widen(b, o), exp(b, sub(b, lse, all))), b.type(o).dtype), all};
}

constexpr ir::PhasedMerge kSinksLast = {&kSoftmaxState, partial, finish};

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  const AttentionAttrs& a = view.attrs_as<AttentionAttrs>();
  const AttentionRoles roles = attention_roles(view.operands[0], view.operands[1], view.operands[2]);
  ir::RuleBuilder r{view, out};
  ir::AxisRule& keys = r.map(roles.k);
  if (a.has_sinks) {
    keys.phased = &kSinksLast;
  } else {
    for (ir::ResultRule& result : keys.result) result = {ir::AxisKind::kMerge, &kSoftmaxState, 0};
  }
  r.whole(roles.head_dim, "a score is nonlinear in the whole dot product");
  r.map_rest();
}

std::vector<ValueId> decompose(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const AttentionAttrs& a = view.attrs_as<AttentionAttrs>();
  const AttentionSlots slots = attention_slots(a, false);
  ValueId s = scores(b, view, x).s;
  ValueId lse = log_sum_exp(b, s, a.k_axis);
  if (slots.sinks >= 0) lse = with_sinks(b, lse, x[static_cast<size_t>(slots.sinks)]);
  Type out = output_type(view);
  ValueId o = contract(b, probabilities(b, s, lse), x[2], axes_of(out), out.dtype);
  return {o, lse};
}

void gradient(GradContext& g) {
  AttentionAttrs a = g.op.attrs_as<AttentionAttrs>();
  const AttentionSlots slots = attention_slots(a, false);
  a.has_dlse = g.dresults[1] != kNoValue;
  std::vector<ValueId> x(g.operands.begin(), g.operands.end());
  x.push_back(g.results[0]);
  x.push_back(g.results[1]);
  x.push_back(g.dresults[0] != kNoValue ? g.dresults[0] : zeros_like(g.b, g.results[0]));
  if (a.has_dlse) x.push_back(g.dresults[1]);
  std::vector<ValueId> d = g.b.emit(kAttentionGrad, Attrs::of(a), x);
  for (int i = 0; i < 3; ++i) g.set(i, d[static_cast<size_t>(i)]);
  size_t next = 3;
  for (int slot : {slots.bias, slots.sinks})
    if (slot >= 0) g.set(slot, cast(g.b, d[next++], g.grad_dtype(slot)));
}

double flops(const OpView& view) {
  const Type &q = view.operands[0], &v = view.operands[2];
  const double pairs = static_cast<double>(statistic_type(view).elements()) *
                       static_cast<double>(score_type(view).dims.back().size);
  return 2 * pairs * static_cast<double>(q.dims.back().size + v.dims.back().size);
}

void examples(std::vector<Example>& out) {
  for (Example& e : attention_examples(false)) out.push_back(std::move(e));
}

// ---- mask
// ----------------------------------------------------------------------------------------------------

void infer_mask(const OpView& view, std::vector<Type>& results) {
  const AttentionAttrs& a = view.attrs_as<AttentionAttrs>();
  ir::expect_operands(view, a.has_segments ? 4 : 2);
  Type most, lead[4];
  Dim roles[2];
  for (size_t i = 0; i < view.operands.size(); ++i) {
    const Type& t = view.operands[i];
    const ir::Axis role = i % 2 == 0 ? a.q_axis : a.k_axis;
    ir::expect(view, t.dtype == DType::i32 && t.rank() >= 1 && t.dims.back().axis == role,
               "operands must be i32 and end in q_axis or k_axis");
    if (i < 2) roles[i] = t.dims.back();
    ir::expect(view, t.dims.back() == roles[i % 2], "positions and segments differ in size");
    lead[i] = t.without(role);
    if (lead[i].rank() > most.rank()) most = lead[i];
  }
  for (size_t i = 0; i < view.operands.size(); ++i)
    ir::expect(view, is_subset(lead[i], most), "one operand must have all the leading axes, in order");
  ir::expect(view, a.window >= 0, "window must not be negative");
  for (const Dim& d : roles) {
    ir::expect(view, !most.has(d.axis), "q_axis and k_axis must differ, and be innermost");
    append_dim(view, most, d);
  }
  results.push_back(most.with_dtype(DType::f32));
}

void mask_examples(std::vector<Example>& out) {
  auto ids = [](ir::Dims d, Fill fill, int64_t limit = 0) {
    return ExampleOperand{Type(DType::i32, d), fill, limit};
  };
  auto attrs = [](bool causal, int64_t window, bool segments) {
    AttentionAttrs a;
    a.q_axis = "q", a.k_axis = "k";
    a.causal = causal, a.window = window, a.has_segments = segments;
    return Attrs::of(a);
  };
  const Dim q{"q", 5}, k{"k", 7}, batch{"batch", 2};
  out.push_back({"causal", attrs(true, 0, false), {ids({q}, Fill::kRamp), ids({k}, Fill::kRamp)}});
  out.push_back({"window", attrs(true, 3, false), {ids({q}, Fill::kRamp), ids({k}, Fill::kRamp)}});
  out.push_back({"scattered positions, one row per sequence",
                 attrs(true, 0, false),
                 {ids({batch, q}, Fill::kIndex, 9), ids({k}, Fill::kRamp)}});
  out.push_back({"segments",
                 attrs(false, 0, true),
                 {ids({q}, Fill::kRamp), ids({k}, Fill::kRamp), ids({batch, q}, Fill::kIndex, 3),
                  ids({batch, k}, Fill::kIndex, 3)}});
}

}  // namespace

const OpDef kAttention = [] {
  OpDef op{"attention", ir::attrs_info<AttentionAttrs>(), infer, rules};
  op.decompose = decompose;
  op.gradient = gradient;
  op.flops = flops;
  op.examples = examples;
  return op;
}();

const OpDef kAttentionMask = [] {
  OpDef op{"attention_mask", ir::attrs_info<AttentionAttrs>(), infer_mask,
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder{view, out}.map_rest();
           }};
  op.no_gradient = "integer operands";
  op.examples = mask_examples;
  return op;
}();

namespace attention_internal {
std::vector<ValueId> gather_operands(Builder& b, const AttentionOperands& in, AttentionAttrs& attrs) {
  const Type& q = b.type(in.q);
  const Type& k = b.type(in.k);
  // Ranks too small are left for infer to refuse.
  if (q.rank() >= 4) attrs.q_axis = q.dims[q.rank() - 4].axis;
  if (k.rank() >= 3) attrs.k_axis = k.dims[k.rank() - 3].axis;
  attrs.has_segments = in.q_seg != kNoValue;
  attrs.has_bias = in.bias != kNoValue;
  attrs.has_sinks = in.sinks != kNoValue;
  HOIST_CHECK(attrs.has_segments == (in.k_seg != kNoValue), "attention: q_seg and k_seg go together");
  std::vector<ValueId> x = {in.q, in.k, in.v, in.q_pos, in.k_pos};
  for (ValueId v : {in.q_seg, in.k_seg, in.bias, in.sinks})
    if (v != kNoValue) x.push_back(v);
  return x;
}
}  // namespace attention_internal

AttentionResults attention(Builder& b, const AttentionOperands& operands, AttentionAttrs attrs) {
  std::vector<ValueId> x = gather_operands(b, operands, attrs);
  attrs.has_dlse = false;
  std::vector<ValueId> r = b.emit(kAttention, Attrs::of(attrs), x);
  return {r[0], r[1]};
}

ValueId attention_mask(Builder& b, std::span<const ValueId> operands, const AttentionAttrs& attrs) {
  AttentionAttrs a;
  a.q_axis = attrs.q_axis, a.k_axis = attrs.k_axis;
  a.causal = attrs.causal, a.window = attrs.window;
  a.has_segments = attrs.has_segments;
  return b.emit(kAttentionMask, Attrs::of(a), operands)[0];
}

}  // namespace hoist::ops
