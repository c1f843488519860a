#include "ops/lstm.h"

#include "ops/common.h"
#include "ops/constants.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Dim;
using ir::Example;
using ir::Fill;
using ir::GradContext;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

// The types of a layer, from x, w and u, which are checked; their order is that of lstm()'s operands.
struct Layer {
  Type x, w, u, bias, state, h, gates;
};
Layer layer_of(const OpView& view) {
  for (int i = 0; i < 3; ++i) {
    expect_dense_float(view, i);
    ir::expect(view, view.operands[static_cast<size_t>(i)].rank() == 3, "x, w and u have three axes each");
  }
  const Type &x = view.operands[0], &w = view.operands[1], &u = view.operands[2];
  const Dim seq = x.dims[0], batch = x.dims[1], in = x.dims[2], gate = w.dims[0], hidden = w.dims[1];
  ir::expect(view, w.dtype == x.dtype && u.dtype == x.dtype, "the dtypes differ");
  ir::expect(view, gate.size == 4 && seq.size > 0, "expected four gates and at least one step");
  ir::expect(view, w.dims[2] == in && u.dims[0] == gate && u.dims[1] == hidden,
             "x, w and u do not fit together");
  ir::expect(view, u.dims[2].size == hidden.size, "u's last axis must be as long as hidden");
  for (const Type* t : {&x, &w, &u})
    for (const Dim& d : t->dims) ir::expect(view, !d.live, "no axis may be live");
  for (const Dim& d : {gate, hidden, u.dims[2]})
    ir::expect(view, !x.has(d.axis), "gate, hidden and u's last may not be axes of x");
  ir::expect(view,
             !(u.dims[2].axis == gate.axis) && !(u.dims[2].axis == hidden.axis) &&
                 !(u.dims[2].axis == Symbol("state")) && !(hidden.axis == Symbol("state")) &&
                 !(batch.axis == Symbol("state")) && !x.has("state") && !w.has("state"),
             "an axis name is used twice");
  Layer l{x,
          w,
          u,
          Type(x.dtype, {gate, hidden}),
          Type(x.dtype, {{"state", 2}, batch, hidden}),
          Type(x.dtype, {seq, batch, hidden}),
          Type(x.dtype, {seq, batch})};
  append_dim(view, l.gates, gate);
  append_dim(view, l.gates, hidden);
  return l;
}
void expect_like(const OpView& view, int operand, const Type& t) {
  expect_type(view, operand, t.dtype, t.dims);
}

void infer(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 5);
  const Layer l = layer_of(view);
  expect_like(view, 3, l.bias);
  expect_like(view, 4, l.state);
  results = {l.h, l.state, l.h, l.gates};
}

void whole_rest(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  auto each = [&](const Type& t) {
    for (const Dim& d : t.dims) {
      bool seen = false;
      for (const ir::AxisRule& rule : out) seen |= rule.axis == d.axis;
      if (!seen) r.whole(d.axis, "every step mixes all of it");
    }
  };
  for (const Type& t : view.operands) each(t);
  for (const Type& t : view.results) each(t);
}

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  ir::AxisRule& seq = r.map(view.operands[0].dims[0].axis);
  for (ir::ResultRule& rr : seq.result) rr = {ir::AxisKind::kScan};
  seq.carry_operand = 4;
  seq.carry_result = 1;
  r.map(view.operands[0].dims[1].axis);
  whole_rest(view, out);
}

void infer_grad(const OpView& view, std::vector<Type>& results) {
  const LstmGradAttrs& a = view.attrs_as<LstmGradAttrs>();
  ir::expect_operands(view, 9 + a.has_dc + a.has_dgates);
  const Layer l = layer_of(view);
  const Type* rest[] = {&l.state, &l.h, &l.h, &l.gates, &l.h, &l.state};
  for (int i = 0; i < 6; ++i) expect_like(view, 3 + i, *rest[i]);
  if (a.has_dc) expect_like(view, 9, l.h);
  if (a.has_dgates) expect_like(view, 9 + a.has_dc, l.gates);
  const DType sums = statistics_dtype(l.x.dtype);
  results = {l.x, l.w.with_dtype(sums), l.u.with_dtype(sums), l.bias.with_dtype(sums), l.state};
}

void grad_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder{view, out}.merge(view.operands[0].dims[1].axis, kSum);
  whole_rest(view, out);
}

void gradient(GradContext& g) {
  LstmGradAttrs a;
  a.has_dc = g.dresults[2] != ir::kNoValue;
  a.has_dgates = g.dresults[3] != ir::kNoValue;
  std::vector<ValueId> x = {g.operands[0], g.operands[1], g.operands[2], g.operands[4],
                            g.results[0],  g.results[2],  g.results[3]};
  for (int i : {0, 1})
    x.push_back(g.dresults[i] != ir::kNoValue ? g.dresults[i] : zeros_like(g.b, g.results[i]));
  for (int i : {2, 3})
    if (g.dresults[i] != ir::kNoValue) x.push_back(g.dresults[i]);
  const std::vector<ValueId> d = g.b.emit(kLstmGrad, Attrs::of(a), x);
  for (int i = 0; i < 5; ++i)
    if (g.wants(i)) g.set(i, cast(g.b, d[static_cast<size_t>(i)], g.grad_dtype(i)));
}

double layer_flops(const OpView& view) {
  const Type &x = view.operands[0], &w = view.operands[1], &u = view.operands[2];
  return 2.0 * static_cast<double>(x.dims[0].size * x.dims[1].size) *
         static_cast<double>(w.elements() + u.elements());
}

struct LstmCase {
  const char* note;
  Type x, w, u, bias, state, h, gates;
};
std::vector<LstmCase> cases() {
  std::vector<LstmCase> out;
  auto add = [&](const char* note, int64_t n, int64_t b, int64_t i, int64_t k) {
    const Dim seq{"seq", n}, batch{"batch", b}, in{"in", i}, hidden{"hidden", k}, gate{"gate", 4},
        past{"past", k};
    auto type = [](std::initializer_list<Dim> dims) { return Type(DType::f32, dims); };
    out.push_back({note, type({seq, batch, in}), type({gate, hidden, in}), type({gate, hidden, past}),
                   type({gate, hidden}), type({{"state", 2}, batch, hidden}), type({seq, batch, hidden}),
                   type({seq, batch, gate, hidden})});
  };
  add("a short sequence", 5, 3, 4, 6);
  add("one step", 1, 2, 3, 5);
  return out;
}

}  // namespace

const OpDef kLstm = [] {
  OpDef op{"lstm", ir::attrs_info<ir::NoAttrs>(), infer, rules};
  op.gradient = gradient;
  op.flops = layer_flops;
  op.examples = [](std::vector<Example>& out) {
    for (const LstmCase& c : cases())
      out.push_back({c.note, Attrs::of(ir::NoAttrs{}), {{c.x}, {c.w}, {c.u}, {c.bias}, {c.state}}});
  };
  return op;
}();

const OpDef kLstmGrad = [] {
  OpDef op{"lstm_grad", ir::attrs_info<LstmGradAttrs>(), infer_grad, grad_rules};
  op.no_gradient = "second derivatives of a recurrence are not provided";
  op.flops = [](const OpView& view) { return 2 * layer_flops(view); };
  op.examples = [](std::vector<Example>& out) {
    for (const LstmCase& c : cases())
      for (int more = 0; more < 2; ++more) {
        Example e{c.note,
                  Attrs::of(LstmGradAttrs{more > 0, more > 0}),
                  // Gates drawn at random do not damp what comes back, so nothing does: tests/kernels has
                  // true ones.
                  {{c.x},
                   {c.w},
                   {c.u, Fill::kZero},
                   {c.state},
                   {c.h},
                   {c.h},
                   {c.gates, Fill::kPositive},
                   {c.h},
                   {c.state}}};
        if (more) e.operands.push_back({c.h}), e.operands.push_back({c.gates});
        out.push_back(e);
      }
  };
  return op;
}();

LstmResult lstm(Builder& b, ValueId x, ValueId w, ValueId u, ValueId bias, ValueId state) {
  const ValueId operands[] = {x, w, u, bias, state};
  const std::vector<ValueId> r = b.emit(kLstm, Attrs::of(ir::NoAttrs{}), operands);
  return {r[0], r[1], r[2], r[3]};
}

}  // namespace hoist::ops
