#include "ops/contract.h"

#include "ir/graph.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::GradContext;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

void infer(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 2);
  const ContractAttrs& a = view.attrs_as<ContractAttrs>();
  const Type &x = view.operands[0], &y = view.operands[1];
  ir::expect(view, is_float(x.dtype) && is_float(y.dtype) && is_float(a.to), "expected float tensors");
  ir::expect(
      view,
      (x.dtype == DType::f64) == (y.dtype == DType::f64) && (x.dtype == DType::f64) == (a.to == DType::f64),
      "f64 does not mix with other types");
  for (const ir::Dim& d : x.dims) {
    int j = y.find(d.axis);
    if (j >= 0)
      ir::expect(view, y.dims[j].size == d.size && y.dims[j].live == d.live, "a shared axis differs in size");
    if (j < 0) ir::expect(view, a.out.contains(d.axis), "an axis of x is neither shared nor in the result");
  }
  for (const ir::Dim& d : y.dims)
    if (!x.has(d.axis))
      ir::expect(view, a.out.contains(d.axis), "an axis of y is neither shared nor in the result");
  ir::expect(view, x.format.empty(), "expected a dense x");
  if (!y.format.empty()) {
    const std::string why = ir::format_problem(y);
    ir::expect(view, why.empty(), why.c_str());
    const int rows = y.rank() - ir::find_format(y.format)->panel;
    ir::expect(view, rows < y.rank(), "expected weights in panels");
    int at = -1;  // contracted axes come in the same order in both
    for (int i = 0; i < y.rank(); ++i) {
      const int j = x.find(y.dims[i].axis);
      ir::expect(view, i < rows ? j < 0 : j > at && !a.out.contains(y.dims[i].axis),
                 "weights in panels: expected free axes, then the contracted ones in the order of x");
      at = std::max(at, j);
    }
  }
  Type t;
  t.dtype = a.to;
  for (ir::Axis axis : a.out) {
    int i = x.find(axis), j = y.find(axis);
    ir::expect(view, i >= 0 || j >= 0, "a result axis is in neither operand");
    ir::expect(view, !t.has(axis), "a result axis is named twice");
    t.dims.push_back(i >= 0 ? x.dims[i] : y.dims[j]);
  }
  results.push_back(t);
}

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  for (const ir::Dim& d : view.operands[0].dims)
    if (!view.results[0].has(d.axis)) r.merge(d.axis, kSum);
  r.map_rest();
}

AxisList axes_of(const Type& t) {
  AxisList list;
  for (const ir::Dim& d : t.dims) list.push_back(d.axis);
  return list;
}

// d(x) = contract(d(result), y): an axis of x is in the result, or shared and contracted, so in y.
// Products of bf16 have bf16 gradients flowing back through them, whatever they are summed into: the
// gradient of f32 logits would otherwise force two of the widest products of a model into f32.
void gradient(GradContext& g) {
  ValueId dy = g.dresults[0];
  if (g.op.operands[0].dtype == DType::bf16 && g.op.operands[1].dtype == DType::bf16 &&
      g.b.type(dy).dtype == DType::f32)
    dy = cast(g.b, dy, DType::bf16);
  for (int i = 0; i < 2; ++i) {
    if (!g.wants(i)) continue;
    const Type& t = g.op.operands[static_cast<size_t>(i)];
    g.set(i, contract(g.b, dy, g.operands[static_cast<size_t>(1 - i)], axes_of(t), g.grad_dtype(i)));
  }
}

double flops(const OpView& view) {
  double n = 2.0 * static_cast<double>(view.results[0].elements());
  for (const ir::Dim& d : view.operands[0].dims)
    if (!view.results[0].has(d.axis)) n *= static_cast<double>(d.size);
  return n;
}

void examples(std::vector<Example>& out) {
  auto f32 = [](ir::Dims d) { return ir::ExampleOperand{Type(DType::f32, d)}; };
  auto add = [&](const char* note, ir::Dims x, ir::Dims y, AxisList to) {
    out.push_back({note, Attrs::of(ContractAttrs{to, DType::f32}), {f32(x), f32(y)}});
  };
  add("linear layer, weight [out, in]", {{"tokens", 5}, {"model", 12}}, {{"ffn", 7}, {"model", 12}},
      {"tokens", "ffn"});
  add("split heads", {{"tokens", 5}, {"model", 12}}, {{"heads", 2}, {"head_dim", 4}, {"model", 12}},
      {"tokens", "heads", "head_dim"});
  add("merge heads", {{"tokens", 5}, {"heads", 2}, {"head_dim", 4}},
      {{"model", 12}, {"heads", 2}, {"head_dim", 4}}, {"tokens", "model"});
  add("weight [in, out]", {{"tokens", 5}, {"model", 12}}, {{"model", 12}, {"ffn", 7}}, {"tokens", "ffn"});
  add("weight gradient", {{"tokens", 5}, {"ffn", 7}}, {{"tokens", 5}, {"model", 12}}, {"ffn", "model"});
  add("two batch axes", {{"batch", 2}, {"seq", 3}, {"model", 6}}, {{"ffn", 5}, {"model", 6}},
      {"batch", "seq", "ffn"});
  add("attention scores: batched, interleaved axes", {{"q", 4}, {"heads", 2}, {"d", 6}},
      {{"k", 5}, {"heads", 2}, {"d", 6}}, {"q", "heads", "k"});
  add("triangle update", {{"i", 4}, {"k", 5}, {"c", 3}}, {{"j", 4}, {"k", 5}, {"c", 3}}, {"i", "j", "c"});
  add("outer product", {{"i", 4}}, {{"j", 5}}, {"i", "j"});
  add("dot product", {{"i", 9}}, {{"i", 9}}, {});
}

}  // namespace

const OpDef kContract = [] {
  OpDef op{"contract", ir::attrs_info<ContractAttrs>(), infer, rules};
  op.gradient = gradient;
  op.flops = flops;
  op.examples = examples;
  return op;
}();

ValueId contract(Builder& b, ValueId x, ValueId y, const AxisList& out, DType to) {
  return b.emit1(kContract, Attrs::of(ContractAttrs{out, to}), {x, y});
}
ValueId contract(Builder& b, ValueId x, ValueId y, const AxisList& out) {
  return contract(b, x, y, out, b.type(x).dtype);
}

}  // namespace hoist::ops
