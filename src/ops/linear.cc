#include "ops/linear.h"

#include "ir/graph.h"
#include "ops/activation.h"
#include "ops/common.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

using Values = std::vector<ValueId>;

void infer(const OpView& view, std::vector<Type>& results) {
  const LinearAttrs& a = view.attrs_as<LinearAttrs>();
  const LinearPlaces at(a);
  ir::expect_operands(view, 2 + a.bias + a.gate + a.residual);
  Activation ignored;
  ir::expect(view, find_activation(a.activation, &ignored) && find_activation(a.gate_activation, &ignored),
             "unknown activation; expected relu, silu, gelu_tanh, gelu_erf or none");
  ir::expect(view, a.gate || a.gate_activation.empty(), "an activation of the gate, but no gate");
  const Attrs product = Attrs::of(ContractAttrs{a.out, a.to});
  OpView inner = view;
  inner.attrs = &product;
  inner.operands = view.operands.first(2);
  kContract.infer(inner, results);
  const Type& y = results[0];
  ir::Dims free;
  ir::expect(view, linear_bias(view.operands[0], view.operands[1], a.out, &free),
             "expected w's free axes at the result's end, in w's order, and no batch axis");
  if (at.bias >= 0) {
    expect_dense_float(view, at.bias);
    const Type& bias = view.operands[static_cast<size_t>(at.bias)];
    ir::expect(view, bias.dims == free, "expected a bias with w's free axes");
    ir::expect(view, (bias.dtype == DType::f64) == (y.dtype == DType::f64),
               "f64 does not mix with other types");
  }
  for (int8_t like : {at.gate, at.residual})
    if (like >= 0) expect_type(view, like, y.dtype, y.dims);
}

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  const LinearAttrs& a = view.attrs_as<LinearAttrs>();
  ir::RuleBuilder r{view, out};
  const bool sums = !a.bias && !a.gate && !a.residual && a.activation.empty();
  for (const ir::Dim& d : view.operands[0].dims)
    if (!view.results[0].has(d.axis)) {
      if (sums)
        r.merge(d.axis, kSum);
      else
        r.whole(d.axis, "what follows the sum is applied to all of it once");
    }
  r.map_rest();
}

ValueId activate(Builder& b, ValueId x, Symbol name) {
  Activation activation = Activation::kNone;
  find_activation(name, &activation);
  switch (activation) {
    case Activation::kNone: break;
    case Activation::kRelu: return relu(b, x);
    case Activation::kSilu: return silu(b, x);
    case Activation::kGeluTanh: return gelu_tanh(b, x);
    case Activation::kGeluErf: return gelu_erf(b, x);
  }
  return x;
}

Values decompose(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const LinearAttrs& a = view.attrs_as<LinearAttrs>();
  const LinearPlaces at(a);
  auto operand = [&](int8_t place) { return widen(b, x[static_cast<size_t>(place)]); };
  ValueId y = contract(b, x[0], x[1], a.out, statistics_dtype(a.to));
  if (a.scale != 1) y = affine(b, y, a.scale);
  if (a.bias) y = add(b, y, operand(at.bias));
  y = activate(b, y, a.activation);
  if (a.gate) y = mul(b, activate(b, operand(at.gate), a.gate_activation), y);
  if (a.residual) y = add(b, operand(at.residual), y);
  return {cast(b, y, a.to)};
}

void examples(std::vector<Example>& out) {
  const Type x(DType::f32, {{"tokens", 5}, {"model", 12}}), w(DType::f32, {{"ffn", 7}, {"model", 12}}),
      bias(DType::f32, {{"ffn", 7}}), y(DType::f32, {{"tokens", 5}, {"ffn", 7}});
  auto example = [&](const char* note, LinearAttrs a) {
    a.out = {"tokens", "ffn"};
    Example e{note, Attrs::of(a), {{x}, {w}}};
    if (a.bias) e.operands.push_back({bias});
    if (a.gate) e.operands.push_back({y});
    if (a.residual) e.operands.push_back({y});
    out.push_back(e);
  };
  example("scaled product", {.scale = 0.5});
  example("bias and gelu", {.bias = true, .activation = "gelu_tanh"});
  example("gated pair", {.gate = true, .gate_activation = "silu"});
  example("residual", {.bias = true, .residual = true});
  example("everything", {.scale = 2,
                         .bias = true,
                         .activation = "gelu_erf",
                         .gate = true,
                         .gate_activation = "gelu_tanh",
                         .residual = true});
  out.push_back({"bias over split heads",
                 Attrs::of(LinearAttrs{.out = {"tokens", "heads", "head_dim"}, .bias = true}),
                 {{x},
                  {Type(DType::f32, {{"heads", 2}, {"head_dim", 4}, {"model", 12}})},
                  {Type(DType::f32, {{"heads", 2}, {"head_dim", 4}})}}});
}

}  // namespace

const OpDef kLinear = [] {
  OpDef op{"linear", ir::attrs_info<LinearAttrs>(), infer, rules};
  op.decompose = decompose;
  op.flops = [](const OpView& view) {
    double n = 2.0 * static_cast<double>(view.results[0].elements());
    for (const ir::Dim& d : view.operands[0].dims)
      if (!view.results[0].has(d.axis)) n *= static_cast<double>(d.size);
    return n;
  };
  op.examples = examples;
  return op;
}();

bool linear_bias(const Type& x, const Type& w, const AxisList& out, ir::Dims* bias) {
  for (const ir::Dim& d : w.dims) {
    if (!x.has(d.axis)) bias->push_back(d);
    if (x.has(d.axis) && out.contains(d.axis)) return false;
  }
  const int first = out.size() - bias->size();
  for (int i = 0; i < bias->size(); ++i)
    if (first < 0 || !(out[first + i] == (*bias)[i].axis)) return false;
  return true;
}

bool find_activation(Symbol name, Activation* activation) {
  constexpr std::pair<std::string_view, Activation> kNames[] = {{"", Activation::kNone},
                                                                {"relu", Activation::kRelu},
                                                                {"silu", Activation::kSilu},
                                                                {"gelu_tanh", Activation::kGeluTanh},
                                                                {"gelu_erf", Activation::kGeluErf}};
  for (const auto& [text, value] : kNames)
    if (name.str() == text) {
      *activation = value;
      return true;
    }
  return false;
}

ValueId linear(Builder& b, const LinearOperands& o, const LinearAttrs& attrs) {
  Values operands{o.x, o.w};
  for (ValueId v : {o.bias, o.gate, o.residual})
    if (v != ir::kNoValue) operands.push_back(v);
  return b.emit(kLinear, Attrs::of(attrs), operands)[0];
}

}  // namespace hoist::ops
