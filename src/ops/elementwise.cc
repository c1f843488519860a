#include "ops/elementwise.h"

#include "ir/graph.h"
#include "ops/reduce.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Example;
using ir::Fill;
using ir::GradContext;
using ir::NoAttrs;
using ir::OpDef;
using ir::OpView;
using ir::RuleBuilder;
using ir::Type;

namespace {

void map_rules(const OpView& view, std::vector<ir::AxisRule>& out) { RuleBuilder{view, out}.map_rest(); }

void infer_unary(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  ir::expect(view, is_float(view.operands[0].dtype) && view.operands[0].format.empty(),
             "expected a dense float tensor");
  results.push_back(view.operands[0]);
}

bool subset(const Type& small, const Type& large) {
  int at = 0;
  for (const ir::Dim& d : small.dims) {
    while (at < large.rank() && !(large.dims[at].axis == d.axis)) ++at;
    if (at == large.rank() || !(large.dims[at] == d)) return false;
    ++at;
  }
  return true;
}

Type broadcast_type(const OpView& view) {
  ir::expect_operands(view, 2);
  const Type &x = view.operands[0], &y = view.operands[1];
  ir::expect(view, x.dtype == y.dtype && x.format.empty() && y.format.empty(),
             "expected two dense tensors of one dtype");
  bool y_in_x = subset(y, x), x_in_y = subset(x, y);
  ir::expect(view, y_in_x || x_in_y, "one operand's axes must be a subset of the other's");
  return y_in_x ? x : y;
}

void infer_binary(const OpView& view, std::vector<Type>& results) {
  Type t = broadcast_type(view);
  ir::expect(view, is_float(t.dtype), "expected float tensors");
  results.push_back(t);
}

void infer_compare(const OpView& view, std::vector<Type>& results) {
  Type t = broadcast_type(view);
  results.push_back(is_float(t.dtype) ? t : t.with_dtype(DType::f32));
}

ir::Dims example_dims() { return {{"rows", 5}, {"cols", 7}}; }

template <Fill fill>
void unary_examples(std::vector<Example>& out) {
  out.push_back({"matrix", Attrs::of(NoAttrs{}), {{Type(DType::f32, example_dims()), fill}}});
  out.push_back({"scalar", Attrs::of(NoAttrs{}), {{Type(DType::f32, {}), fill}}});
}

void binary_examples(std::vector<Example>& out) {
  Type m(DType::f32, example_dims()), row(DType::f32, {{"cols", 7}}), col(DType::f32, {{"rows", 5}}),
      s(DType::f32, {});
  out.push_back({"same axes", Attrs::of(NoAttrs{}), {{m}, {m, Fill::kPositive}}});
  out.push_back({"row broadcast", Attrs::of(NoAttrs{}), {{m}, {row, Fill::kPositive}}});
  out.push_back({"column broadcast", Attrs::of(NoAttrs{}), {{col}, {m, Fill::kPositive}}});
  out.push_back({"scalar broadcast", Attrs::of(NoAttrs{}), {{m}, {s, Fill::kPositive}}});
}

using Gradient = void (*)(GradContext&);

OpDef unary(std::string_view name, Gradient gradient, void (*examples)(std::vector<Example>&),
            const char* no_gradient = nullptr) {
  OpDef op{name, ir::attrs_info<NoAttrs>(), infer_unary, map_rules};
  op.gradient = gradient;
  op.no_gradient = no_gradient;
  op.examples = examples;
  op.elementwise = true;
  return op;
}

OpDef binary(std::string_view name, Gradient gradient, const char* no_gradient = nullptr) {
  OpDef op{name, ir::attrs_info<NoAttrs>(), no_gradient ? infer_compare : infer_binary, map_rules};
  op.gradient = gradient;
  op.no_gradient = no_gradient;
  op.examples = binary_examples;
  op.elementwise = true;
  return op;
}

// Hands each wanted operand its gradient, summed over the axes it was broadcast along.
void set_reduced(GradContext& g, int i, ValueId d) {
  g.set(i, reduce_to(g.b, d, g.op.operands[static_cast<size_t>(i)]));
}

}  // namespace

const OpDef kNeg = unary(
    "neg", [](GradContext& g) { g.set(0, neg(g.b, g.dresults[0])); }, unary_examples<Fill::kNormal>);
const OpDef kExp = unary(
    "exp", [](GradContext& g) { g.set(0, mul(g.b, g.dresults[0], g.results[0])); },
    unary_examples<Fill::kNormal>);
const OpDef kLog = unary(
    "log", [](GradContext& g) { g.set(0, div(g.b, g.dresults[0], g.operands[0])); },
    unary_examples<Fill::kPositive>);
const OpDef kSqrt = unary(
    "sqrt", [](GradContext& g) { g.set(0, div(g.b, affine(g.b, g.dresults[0], 0.5), g.results[0])); },
    unary_examples<Fill::kPositive>);
const OpDef kRsqrt = unary(
    "rsqrt",
    [](GradContext& g) {
      ValueId r3 = mul(g.b, g.results[0], square(g.b, g.results[0]));
      g.set(0, affine(g.b, mul(g.b, g.dresults[0], r3), -0.5));
    },
    unary_examples<Fill::kPositive>);
const OpDef kReciprocal = unary(
    "reciprocal",
    [](GradContext& g) { g.set(0, neg(g.b, mul(g.b, g.dresults[0], square(g.b, g.results[0])))); },
    unary_examples<Fill::kPositive>);
const OpDef kSquare = unary(
    "square", [](GradContext& g) { g.set(0, affine(g.b, mul(g.b, g.dresults[0], g.operands[0]), 2)); },
    unary_examples<Fill::kNormal>);
const OpDef kTanh = unary(
    "tanh",
    [](GradContext& g) { g.set(0, mul(g.b, g.dresults[0], affine(g.b, square(g.b, g.results[0]), -1, 1))); },
    unary_examples<Fill::kNormal>);
const OpDef kErf = unary(
    "erf",
    [](GradContext& g) {
      ValueId e = exp(g.b, neg(g.b, square(g.b, g.operands[0])));
      g.set(0, affine(g.b, mul(g.b, g.dresults[0], e), 1.1283791670955126));  // 2 / sqrt(pi)
    },
    unary_examples<Fill::kNormal>);
const OpDef kSigmoid = unary(
    "sigmoid",
    [](GradContext& g) {
      ValueId s = g.results[0];
      g.set(0, mul(g.b, g.dresults[0], mul(g.b, s, affine(g.b, s, -1, 1))));
    },
    unary_examples<Fill::kNormal>);
const OpDef kRelu = unary(
    "relu",
    [](GradContext& g) {
      ValueId zero = affine(g.b, g.operands[0], 0);
      g.set(0, select(g.b, greater_equal(g.b, g.operands[0], zero), g.dresults[0], zero));
    },
    unary_examples<Fill::kNormal>);
const OpDef kIsFinite = unary("is_finite", nullptr, unary_examples<Fill::kNormal>, "piecewise constant");

const OpDef kAffine = [] {
  OpDef op{"affine", ir::attrs_info<AffineAttrs>(), infer_unary, map_rules};
  op.gradient = [](GradContext& g) {
    g.set(0, affine(g.b, g.dresults[0], g.op.attrs_as<AffineAttrs>().scale));
  };
  op.examples = [](std::vector<Example>& out) {
    out.push_back(
        {"scale and shift", Attrs::of(AffineAttrs{-1.5, 0.25}), {{Type(DType::f32, example_dims())}}});
  };
  op.elementwise = true;
  return op;
}();

const OpDef kCast = [] {
  OpDef op{"cast", ir::attrs_info<CastAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 1);
             ir::expect(view, view.operands[0].format.empty(), "expected a dense tensor");
             results.push_back(view.operands[0].with_dtype(view.attrs_as<CastAttrs>().to));
           },
           map_rules};
  op.gradient = [](GradContext& g) {
    if (is_float(g.op.operands[0].dtype)) g.set(0, cast(g.b, g.dresults[0], g.op.operands[0].dtype));
  };
  op.examples = [](std::vector<Example>& out) {
    Type t(DType::f32, example_dims());
    out.push_back({"to f64", Attrs::of(CastAttrs{DType::f64}), {{t}}});
    // Rounding is a staircase: finite differences of it say nothing.
    out.push_back({"to bf16", Attrs::of(CastAttrs{DType::bf16}), {{t}}, "rounding is piecewise constant"});
    out.push_back(
        {"from i32", Attrs::of(CastAttrs{DType::f32}), {{t.with_dtype(DType::i32), Fill::kIndex, 100}}});
  };
  return op;
}();

const OpDef kAdd = binary("add", [](GradContext& g) {
  for (int i = 0; i < 2; ++i)
    if (g.wants(i)) set_reduced(g, i, g.dresults[0]);
});
const OpDef kSub = binary("sub", [](GradContext& g) {
  if (g.wants(0)) set_reduced(g, 0, g.dresults[0]);
  if (g.wants(1)) set_reduced(g, 1, neg(g.b, g.dresults[0]));
});
const OpDef kMul = binary("mul", [](GradContext& g) {
  for (int i = 0; i < 2; ++i)
    if (g.wants(i)) set_reduced(g, i, mul(g.b, g.dresults[0], g.operands[static_cast<size_t>(1 - i)]));
});
const OpDef kDiv = binary("div", [](GradContext& g) {
  ValueId scaled = div(g.b, g.dresults[0], g.operands[1]);
  if (g.wants(0)) set_reduced(g, 0, scaled);
  if (g.wants(1)) set_reduced(g, 1, neg(g.b, mul(g.b, scaled, g.results[0])));
});
// At ties the first operand takes the gradient.
const OpDef kMaximum = binary("maximum", [](GradContext& g) {
  ValueId first = greater_equal(g.b, g.operands[0], g.operands[1]);
  if (g.wants(0)) set_reduced(g, 0, mul(g.b, g.dresults[0], first));
  if (g.wants(1)) set_reduced(g, 1, mul(g.b, g.dresults[0], affine(g.b, first, -1, 1)));
});
const OpDef kMinimum = binary("minimum", [](GradContext& g) {
  ValueId first = greater_equal(g.b, g.operands[1], g.operands[0]);
  if (g.wants(0)) set_reduced(g, 0, mul(g.b, g.dresults[0], first));
  if (g.wants(1)) set_reduced(g, 1, mul(g.b, g.dresults[0], affine(g.b, first, -1, 1)));
});
const OpDef kGreaterEqual = binary("greater_equal", nullptr, "piecewise constant");
const OpDef kEqual = binary("equal", nullptr, "piecewise constant");

const OpDef kSelect = [] {
  OpDef op{"select", ir::attrs_info<NoAttrs>(),
           [](const OpView& view, std::vector<Type>& results) {
             ir::expect_operands(view, 3);
             ir::expect(view, view.operands[1] == view.operands[2], "expected x and y of one type");
             ir::expect(view,
                        view.operands[0].dims == view.operands[1].dims && is_float(view.operands[0].dtype),
                        "expected a float condition with the axes of x");
             ir::expect(view, is_float(view.operands[1].dtype), "expected float tensors");
             results.push_back(view.operands[1]);
           },
           map_rules};
  op.gradient = [](GradContext& g) {
    ValueId zero = affine(g.b, g.dresults[0], 0);
    if (g.wants(1)) g.set(1, select(g.b, g.operands[0], g.dresults[0], zero));
    if (g.wants(2)) g.set(2, select(g.b, g.operands[0], zero, g.dresults[0]));
  };
  op.examples = [](std::vector<Example>& out) {
    Type t(DType::f32, example_dims());
    // The condition's own derivative is zero almost everywhere, and so is what finite differences see.
    out.push_back({"mixed condition", Attrs::of(NoAttrs{}), {{t}, {t}, {t}}});
  };
  op.elementwise = true;
  return op;
}();

namespace {
ValueId emit(Builder& b, const OpDef& op, std::initializer_list<ValueId> operands) {
  return b.emit1(op, Attrs::of(NoAttrs{}), operands);
}
}  // namespace

ValueId neg(Builder& b, ValueId x) { return emit(b, kNeg, {x}); }
ValueId exp(Builder& b, ValueId x) { return emit(b, kExp, {x}); }
ValueId log(Builder& b, ValueId x) { return emit(b, kLog, {x}); }
ValueId sqrt(Builder& b, ValueId x) { return emit(b, kSqrt, {x}); }
ValueId rsqrt(Builder& b, ValueId x) { return emit(b, kRsqrt, {x}); }
ValueId reciprocal(Builder& b, ValueId x) { return emit(b, kReciprocal, {x}); }
ValueId square(Builder& b, ValueId x) { return emit(b, kSquare, {x}); }
ValueId tanh(Builder& b, ValueId x) { return emit(b, kTanh, {x}); }
ValueId erf(Builder& b, ValueId x) { return emit(b, kErf, {x}); }
ValueId sigmoid(Builder& b, ValueId x) { return emit(b, kSigmoid, {x}); }
ValueId relu(Builder& b, ValueId x) { return emit(b, kRelu, {x}); }
ValueId is_finite(Builder& b, ValueId x) { return emit(b, kIsFinite, {x}); }
ValueId affine(Builder& b, ValueId x, double scale, double shift) {
  return b.emit1(kAffine, Attrs::of(AffineAttrs{scale, shift}), {x});
}
ValueId cast(Builder& b, ValueId x, DType to) {
  return b.type(x).dtype == to ? x : b.emit1(kCast, Attrs::of(CastAttrs{to}), {x});
}
ValueId add(Builder& b, ValueId x, ValueId y) { return emit(b, kAdd, {x, y}); }
ValueId sub(Builder& b, ValueId x, ValueId y) { return emit(b, kSub, {x, y}); }
ValueId mul(Builder& b, ValueId x, ValueId y) { return emit(b, kMul, {x, y}); }
ValueId div(Builder& b, ValueId x, ValueId y) { return emit(b, kDiv, {x, y}); }
ValueId maximum(Builder& b, ValueId x, ValueId y) { return emit(b, kMaximum, {x, y}); }
ValueId minimum(Builder& b, ValueId x, ValueId y) { return emit(b, kMinimum, {x, y}); }
ValueId greater_equal(Builder& b, ValueId x, ValueId y) { return emit(b, kGreaterEqual, {x, y}); }
ValueId equal(Builder& b, ValueId x, ValueId y) { return emit(b, kEqual, {x, y}); }
ValueId select(Builder& b, ValueId cond, ValueId x, ValueId y) { return emit(b, kSelect, {cond, x, y}); }

ValueId reduce_to(Builder& b, ValueId x, const Type& like) {
  AxisList extra;
  for (const ir::Dim& d : b.type(x).dims)
    if (!like.has(d.axis)) extra.push_back(d.axis);
  return extra.empty() ? x : reduce_sum(b, x, extra);
}

}  // namespace hoist::ops
