#include "ops/pool2d.h"

#include "ops/common.h"

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

constexpr int64_t kMaxStep = int64_t{1} << 30;

int64_t out_size(const OpView& view, int64_t in, int64_t taps, int64_t stride, int64_t lo, int64_t hi) {
  for (int64_t step : {taps, stride})
    ir::expect(view, step >= 1 && step <= kMaxStep, "windows and strides must be in 1..2^30");
  for (int64_t pad : {lo, hi}) ir::expect(view, pad >= 0 && pad < taps, "padding must be less than a window");
  ir::expect(view, in >= 1 && in + lo + hi >= taps, "a window does not fit into the padded input");
  const int64_t out = (in + lo + hi - taps) / stride + 1;
  ir::expect(view, (out - 1) * stride - lo < in, "a window lies in the padding");
  return out;
}

// The type of the output; x's four axes are checked against the attributes.
Type pooled(const OpView& view, const Pool2dAttrs& a, const Type& x) {
  ir::expect(view, x.rank() == 4, "expected a tensor of four axes");
  for (int i = 1; i < 4; ++i) ir::expect(view, !x.dims[i].live, "only batch may be live");
  Type y(x.dtype, {x.dims[0], x.dims[1]});
  ir::expect(view, !(a.out_h == x.dims[3].axis) && !(a.out_w == x.dims[2].axis),
             "height and width may not change names");
  append_dim(view, y, {a.out_h, out_size(view, x.dims[2].size, a.kh, a.stride_h, a.pad_top, a.pad_bottom)});
  append_dim(view, y, {a.out_w, out_size(view, x.dims[3].size, a.kw, a.stride_w, a.pad_left, a.pad_right)});
  return y;
}

void infer(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  expect_dense_float(view, 0);
  results.push_back(pooled(view, view.attrs_as<Pool2dAttrs>(), view.operands[0]));
}

void infer_max_grad(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 2);
  expect_dense_float(view, 0);
  const Type y = pooled(view, view.attrs_as<Pool2dAttrs>(), view.operands[0]);
  expect_type(view, 1, y.dtype, y.dims);
  results.push_back(view.operands[0]);
}

void infer_average_grad(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  expect_dense_float(view, 0);
  const AveragePool2dGradAttrs& a = view.attrs_as<AveragePool2dGradAttrs>();
  const Type& y = view.operands[0];
  ir::expect(view, y.rank() == 4, "expected a tensor of four axes");
  Type x(y.dtype, {y.dims[0], y.dims[1]});
  append_dim(view, x, {a.h, a.size_h});
  append_dim(view, x, {a.w, a.size_w});
  ir::expect(view, pooled(view, a.pool, x) == y, "the operand is not what pooling such an input gives");
  results.push_back(x);
}

void window_rule(const OpView& view, std::vector<ir::AxisRule>& out, int dim, ir::Window window) {
  ir::AxisRule rule;
  rule.axis = view.results[0].dims[dim].axis;
  rule.extent = view.results[0].dims[dim].size;  // pieces are pieces of the output
  rule.operand_dim.push_back(static_cast<int8_t>(dim));
  rule.result_dim.push_back(static_cast<int8_t>(dim));
  rule.result.push_back({ir::AxisKind::kWindow});
  rule.window = window;
  out.push_back(rule);
}

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  const Pool2dAttrs& a = view.attrs_as<Pool2dAttrs>();
  ir::RuleBuilder r{view, out};
  for (int i : {0, 1}) r.map(view.operands[0].dims[i].axis);
  window_rule(view, out, 2,
              {a.kh, a.stride_h, 1, a.pad_top, a.pad_bottom, [](Attrs& attrs, int64_t lo, int64_t hi) {
                 attrs.as<Pool2dAttrs>().pad_top = lo;
                 attrs.as<Pool2dAttrs>().pad_bottom = hi;
               }});
  window_rule(view, out, 3,
              {a.kw, a.stride_w, 1, a.pad_left, a.pad_right, [](Attrs& attrs, int64_t lo, int64_t hi) {
                 attrs.as<Pool2dAttrs>().pad_left = lo;
                 attrs.as<Pool2dAttrs>().pad_right = hi;
               }});
}

void grad_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  for (int i : {0, 1}) r.map(view.operands[0].dims[i].axis);
  auto whole = [&](const Type& t) {
    for (int i : {2, 3}) {
      bool seen = false;
      for (const ir::AxisRule& rule : out) seen |= rule.axis == t.dims[i].axis;
      if (!seen) r.whole(t.dims[i].axis, "windows of the output overlap in the input");
    }
  };
  for (const Type& t : view.operands) whole(t);
  whole(view.results[0]);
}

AveragePool2dGradAttrs average_grad_attrs(const Pool2dAttrs& a, const Type& x) {
  return {a, x.dims[2].axis, x.dims[3].axis, x.dims[2].size, x.dims[3].size};
}

double pool_flops(const Pool2dAttrs& a, const Type& y) {
  return static_cast<double>(y.elements()) * static_cast<double>(a.kh) * static_cast<double>(a.kw);
}

struct PoolCase {
  const char* note;
  Pool2dAttrs attrs;
  int64_t h, w, out_h, out_w;
};
template <class Make>
void each_case(Make make) {
  const PoolCase cases[] = {
      {"halves", {2, 2, 2, 2, 0, 0, 0, 0, "out_h", "out_w"}, 6, 8, 3, 4},
      {"overlapping, padded", {3, 3, 2, 2, 1, 1, 1, 0, "out_h", "out_w"}, 7, 6, 4, 3},
      {"uneven", {2, 3, 1, 2, 1, 0, 0, 2, "out_h", "out_w"}, 5, 7, 5, 4},
  };
  for (const PoolCase& c : cases) {
    const Dim batch{"batch", 3}, channels{"channels", 4};
    make(c.note, c.attrs, Type(DType::f32, {batch, channels, {"height", c.h}, {"width", c.w}}),
         Type(DType::f32, {batch, channels, {"out_h", c.out_h}, {"out_w", c.out_w}}));
  }
}

OpDef forward_op(const char* name) {
  OpDef op{name, ir::attrs_info<Pool2dAttrs>(), infer, rules};
  op.flops = [](const OpView& view) { return pool_flops(view.attrs_as<Pool2dAttrs>(), view.results[0]); };
  op.examples = [](std::vector<Example>& out) {
    each_case([&](const char* note, const Pool2dAttrs& a, const Type& x, const Type&) {
      out.push_back({note, Attrs::of(a), {{x}}});
    });
  };
  return op;
}

}  // namespace

const OpDef kMaxPool2d = [] {
  OpDef op = forward_op("max_pool2d");
  op.gradient = [](GradContext& g) {
    if (g.wants(0))
      g.set(0, max_pool2d_grad(g.b, g.operands[0], g.dresults[0], g.op.attrs_as<Pool2dAttrs>()));
  };
  return op;
}();

const OpDef kAveragePool2d = [] {
  OpDef op = forward_op("average_pool2d");
  op.gradient = [](GradContext& g) {
    if (g.wants(0))
      g.set(0, average_pool2d_grad(g.b, g.dresults[0],
                                   average_grad_attrs(g.op.attrs_as<Pool2dAttrs>(), g.op.operands[0])));
  };
  return op;
}();

const OpDef kMaxPool2dGrad = [] {
  OpDef op{"max_pool2d_grad", ir::attrs_info<Pool2dAttrs>(), infer_max_grad, grad_rules};
  op.no_gradient = "a second derivative of maxima";
  op.flops = [](const OpView& view) { return pool_flops(view.attrs_as<Pool2dAttrs>(), view.operands[1]); };
  op.examples = [](std::vector<Example>& out) {
    each_case([&](const char* note, const Pool2dAttrs& a, const Type& x, const Type& y) {
      out.push_back({note, Attrs::of(a), {{x}, {y}}});
    });
  };
  return op;
}();

const OpDef kAveragePool2dGrad = [] {
  OpDef op{"average_pool2d_grad", ir::attrs_info<AveragePool2dGradAttrs>(), infer_average_grad, grad_rules};
  op.gradient = [](GradContext& g) {
    if (g.wants(0))
      g.set(0, average_pool2d(g.b, g.dresults[0], g.op.attrs_as<AveragePool2dGradAttrs>().pool));
  };
  op.flops = [](const OpView& view) {
    return pool_flops(view.attrs_as<AveragePool2dGradAttrs>().pool, view.operands[0]);
  };
  op.examples = [](std::vector<Example>& out) {
    each_case([&](const char* note, const Pool2dAttrs& a, const Type& x, const Type& y) {
      out.push_back({note, Attrs::of(average_grad_attrs(a, x)), {{y}}});
    });
  };
  return op;
}();

ValueId max_pool2d(Builder& b, ValueId x, const Pool2dAttrs& a) {
  return b.emit1(kMaxPool2d, Attrs::of(a), {x});
}
ValueId average_pool2d(Builder& b, ValueId x, const Pool2dAttrs& a) {
  return b.emit1(kAveragePool2d, Attrs::of(a), {x});
}
ValueId max_pool2d_grad(Builder& b, ValueId x, ValueId dy, const Pool2dAttrs& a) {
  return b.emit1(kMaxPool2dGrad, Attrs::of(a), {x, dy});
}
ValueId average_pool2d_grad(Builder& b, ValueId dy, const AveragePool2dGradAttrs& a) {
  return b.emit1(kAveragePool2dGrad, Attrs::of(a), {dy});
}

}  // namespace hoist::ops
