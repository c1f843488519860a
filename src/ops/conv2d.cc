#include "ops/conv2d.h"

#include "ops/common.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Dim;
using ir::Example;
using ir::GradContext;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

// Bounds under which no size below overflows: inputs have at most 2^59 elements, taps * dilation at most
// 2^60.
constexpr int64_t kMaxStep = int64_t{1} << 30;

int64_t out_size(const OpView& view, int64_t in, int64_t taps, int64_t stride, int64_t dilation, int64_t lo,
                 int64_t hi) {
  for (int64_t step : {taps, stride, dilation})
    ir::expect(view, step >= 1 && step <= kMaxStep, "taps, strides and dilations must be in 1..2^30");
  for (int64_t pad : {lo, hi}) ir::expect(view, pad >= 0 && pad <= kMaxStep, "padding must be in 0..2^30");
  const int64_t room = in + lo + hi - dilation * (taps - 1) - 1;
  ir::expect(view, room >= 0, "the dilated taps do not fit into the padded input");
  return room / stride + 1;
}

int64_t out_height(const OpView& view, const Conv2dAttrs& a, int64_t in, int64_t taps) {
  return out_size(view, in, taps, a.stride_h, a.dilation_h, a.pad_top, a.pad_bottom);
}
int64_t out_width(const OpView& view, const Conv2dAttrs& a, int64_t in, int64_t taps) {
  return out_size(view, in, taps, a.stride_w, a.dilation_w, a.pad_left, a.pad_right);
}

void check_algorithm(const OpView& view, const Conv2dAttrs& a) {
  bool known = false;
  for (const char* name : {"implicit", "explicit", "winograd2", "winograd4"})
    known |= a.algorithm == Symbol(name);
  ir::expect(view, known, "algorithm must be implicit, explicit, winograd2 or winograd4");
}

// Images x[batch, in, H, W], weights w[out, in, kh, kw] and their output y agree with the attributes. One of
// the three is a result: its type is what the attributes say.
void check_sizes(const OpView& view, const Conv2dAttrs& a, const Type& x, const Type& w, const Type& y) {
  check_algorithm(view, a);
  for (const Type* t : {&x, &w, &y}) {
    ir::expect(view, t->rank() == 4, "expected tensors of four axes");
    for (int i = 0; i < 4; ++i) {
      ir::expect(view, !t->dims[i].live || (i == 0 && t != &w), "only batch may be live");
      for (int j = 0; j < i; ++j)
        ir::expect(view, !(t->dims[i].axis == t->dims[j].axis), "a tensor names an axis twice");
    }
  }
  ir::expect(view, x.dims[0] == y.dims[0], "batch differs");
  ir::expect(view, x.dims[1] == w.dims[1], "input channels differ");
  ir::expect(view, w.dims[0] == y.dims[1], "output channels differ");
  ir::expect(view, a.out_h == y.dims[2].axis && a.out_w == y.dims[3].axis,
             "out_h and out_w must name the output's axes");
  for (int i : {0, 2, 3})
    ir::expect(view, !x.has(w.dims[i].axis), "out, kh and kw may not be axes of the input");
  for (int i : {1, 2, 3})
    ir::expect(view, !y.has(w.dims[i].axis), "in, kh and kw may not be axes of the output");
  ir::expect(view, !(y.dims[2].axis == x.dims[3].axis) && !(y.dims[3].axis == x.dims[2].axis),
             "height and width may not change names");
  ir::expect(view,
             y.dims[2].size == out_height(view, a, x.dims[2].size, w.dims[2].size) &&
                 y.dims[3].size == out_width(view, a, x.dims[3].size, w.dims[3].size),
             "the output's size is not what the attributes give");
}

void check_floats(const OpView& view, DType to) {
  ir::expect_operands(view, 2);
  for (int i = 0; i < 2; ++i) {
    expect_dense_float(view, i);
    ir::expect(view, view.operands[static_cast<size_t>(i)].rank() == 4, "expected tensors of four axes");
  }
  const bool f64 = to == DType::f64;
  ir::expect(view,
             is_float(to) && (view.operands[0].dtype == DType::f64) == f64 &&
                 (view.operands[1].dtype == DType::f64) == f64,
             "f64 does not mix with other types");
}

Type four(const OpView& view, DType dtype, std::initializer_list<Dim> dims) {
  Type t(dtype, {});
  for (const Dim& d : dims) append_dim(view, t, d);
  return t;
}

void infer(const OpView& view, std::vector<Type>& results) {
  check_floats(view, view.operands.empty() ? DType::f32 : view.operands[0].dtype);
  const Conv2dAttrs& a = view.attrs_as<Conv2dAttrs>();
  const Type &x = view.operands[0], &w = view.operands[1];
  const int64_t h = out_height(view, a, x.dims[2].size, w.dims[2].size);
  const int64_t width = out_width(view, a, x.dims[3].size, w.dims[3].size);
  Type y = four(view, x.dtype, {x.dims[0], {w.dims[0].axis, w.dims[0].size}, {a.out_h, h}, {a.out_w, width}});
  check_sizes(view, a, x, w, y);
  results.push_back(y);
}

void infer_input_grad(const OpView& view, std::vector<Type>& results) {
  const Conv2dGradAttrs& a = view.attrs_as<Conv2dGradAttrs>();
  check_floats(view, a.to);
  const Type &y = view.operands[0], &w = view.operands[1];
  Type x = four(view, a.to, {y.dims[0], {w.dims[1].axis, w.dims[1].size}, {a.h, a.size_h}, {a.w, a.size_w}});
  check_sizes(view, a.conv, x, w, y);
  results.push_back(x);
}

void infer_weight_grad(const OpView& view, std::vector<Type>& results) {
  const Conv2dGradAttrs& a = view.attrs_as<Conv2dGradAttrs>();
  check_floats(view, a.to);
  const Type &x = view.operands[0], &y = view.operands[1];
  Type w = four(view, a.to, {y.dims[1], x.dims[1], {a.h, a.size_h}, {a.w, a.size_w}});
  check_sizes(view, a.conv, x, w, y);
  results.push_back(w);
}

// ---- rules
// ---------------------------------------------------------------------------------------------------

void window_rule(const OpView& view, std::vector<ir::AxisRule>& out, int dim, ir::Window window) {
  ir::AxisRule rule;
  rule.axis = view.results[0].dims[dim].axis;
  rule.extent = view.results[0].dims[dim].size;  // pieces are pieces of the output
  rule.operand_dim.push_back(static_cast<int8_t>(dim));
  rule.operand_dim.push_back(-1);
  rule.result_dim.push_back(static_cast<int8_t>(dim));
  rule.result.push_back({ir::AxisKind::kWindow});
  rule.window = window;
  out.push_back(rule);
}

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  const Conv2dAttrs& a = view.attrs_as<Conv2dAttrs>();
  const Type &x = view.operands[0], &w = view.operands[1];
  ir::RuleBuilder r{view, out};
  r.map(x.dims[0].axis);
  r.map(w.dims[0].axis);
  r.merge(x.dims[1].axis, kSum);
  for (int i : {2, 3}) r.whole(w.dims[i].axis, "taps differ in the inputs they read");
  window_rule(view, out, 2,
              {w.dims[2].size, a.stride_h, a.dilation_h, a.pad_top, a.pad_bottom,
               [](Attrs& attrs, int64_t lo, int64_t hi) {
                 attrs.as<Conv2dAttrs>().pad_top = lo;
                 attrs.as<Conv2dAttrs>().pad_bottom = hi;
               }});
  window_rule(view, out, 3,
              {w.dims[3].size, a.stride_w, a.dilation_w, a.pad_left, a.pad_right,
               [](Attrs& attrs, int64_t lo, int64_t hi) {
                 attrs.as<Conv2dAttrs>().pad_left = lo;
                 attrs.as<Conv2dAttrs>().pad_right = hi;
               }});
}

void grad_rules(const OpView& view, std::vector<ir::AxisRule>& out, ir::Axis summed) {
  ir::RuleBuilder r{view, out};
  r.merge(summed, kSum);
  for (const Type& t : {view.operands[0], view.operands[1], view.results[0]})
    for (int i : {2, 3}) {
      bool seen = false;
      for (const ir::AxisRule& rule : out) seen |= rule.axis == t.dims[i].axis;
      if (!seen) r.whole(t.dims[i].axis, "height, width and taps shift against each other");
    }
  r.map_rest();
}

// ---- gradients: each of the three is linear in both operands, and the gradients of one are the other two
// -------

struct Sizes {
  Symbol h, w;
  int64_t size_h, size_w;
};
Sizes last_two(const Type& t) { return {t.dims[2].axis, t.dims[3].axis, t.dims[2].size, t.dims[3].size}; }

ValueId grad_of_input(GradContext& g, const Conv2dAttrs& a, ValueId dy, ValueId w, int like) {
  const Sizes s = last_two(g.op.operands[static_cast<size_t>(like)]);
  return conv2d_input_grad(g.b, dy, w, {a, s.h, s.w, s.size_h, s.size_w, g.grad_dtype(like)});
}
ValueId grad_of_weight(GradContext& g, const Conv2dAttrs& a, ValueId x, ValueId dy, int like) {
  const Sizes s = last_two(g.op.operands[static_cast<size_t>(like)]);
  return conv2d_weight_grad(g.b, x, dy, {a, s.h, s.w, s.size_h, s.size_w, g.grad_dtype(like)});
}

double conv_flops(const Type& weights, const Type& outputs) {
  return 2.0 * static_cast<double>(outputs.elements()) *
         static_cast<double>(weights.dims[1].size * weights.dims[2].size * weights.dims[3].size);
}

// ---- examples
// ------------------------------------------------------------------------------------------------

struct Case {
  const char* note;
  Conv2dAttrs attrs;
  int64_t h, w, kh, kw, out_h, out_w;
};

// What varies: `make` builds an example from the types of input, weights and output.
template <class Make>
void each_case(Make make) {
  const Case cases[] = {
      {"3 x 3, same size", {1, 1, 1, 1, 1, 1, 1, 1, "out_h", "out_w"}, 6, 5, 3, 3, 6, 5},
      {"stride 2 and 3", {2, 3, 1, 1, 0, 0, 0, 0, "out_h", "out_w"}, 9, 8, 3, 2, 4, 3},
      {"dilation 2, no padding", {1, 1, 2, 2, 0, 0, 0, 0, "out_h", "out_w"}, 8, 7, 3, 3, 4, 3},
      {"uneven padding, stride and dilation", {2, 1, 1, 2, 2, 0, 1, 3, "out_h", "out_w"}, 7, 6, 3, 3, 4, 6},
      {"winograd", {1, 1, 1, 1, 1, 1, 1, 1, "out_h", "out_w", "winograd2"}, 6, 5, 3, 3, 6, 5},
      {"patches (stride = size)", {2, 3, 1, 1, 0, 0, 0, 0, "out_h", "out_w"}, 6, 9, 2, 3, 3, 3},
  };
  const Dim batch{"batch", 3}, in{"in", 3}, out{"out", 4};
  for (const Case& c : cases) {
    const Type x(DType::f32, {batch, in, {"height", c.h}, {"width", c.w}});
    const Type w(DType::f32, {out, in, {"kh", c.kh}, {"kw", c.kw}});
    const Type y(DType::f32, {batch, out, {"out_h", c.out_h}, {"out_w", c.out_w}});
    make(c.note, c.attrs, x, w, y);
  }
}

Conv2dGradAttrs grad_attrs(const Conv2dAttrs& a, const Type& like) {
  const Sizes s = last_two(like);
  return {a, s.h, s.w, s.size_h, s.size_w, like.dtype};
}

}  // namespace

const OpDef kConv2d = [] {
  OpDef op{"conv2d", ir::attrs_info<Conv2dAttrs>(), infer, rules};
  op.gradient = [](GradContext& g) {
    const Conv2dAttrs a = g.op.attrs_as<Conv2dAttrs>();
    if (g.wants(0)) g.set(0, grad_of_input(g, a, g.dresults[0], g.operands[1], 0));
    if (g.wants(1)) g.set(1, grad_of_weight(g, a, g.operands[0], g.dresults[0], 1));
  };
  op.flops = [](const OpView& view) { return conv_flops(view.operands[1], view.results[0]); };
  op.examples = [](std::vector<Example>& out) {
    each_case([&](const char* note, const Conv2dAttrs& a, const Type& x, const Type& w, const Type&) {
      out.push_back({note, Attrs::of(a), {{x}, {w}}});
    });
  };
  return op;
}();

const OpDef kConv2dInputGrad = [] {
  OpDef op{"conv2d_input_grad", ir::attrs_info<Conv2dGradAttrs>(), infer_input_grad,
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             grad_rules(view, out, view.operands[1].dims[0].axis);
           }};
  op.gradient = [](GradContext& g) {
    const Conv2dAttrs a = g.op.attrs_as<Conv2dGradAttrs>().conv;
    if (g.wants(0)) g.set(0, cast(g.b, conv2d(g.b, g.dresults[0], g.operands[1], a), g.grad_dtype(0)));
    if (g.wants(1)) g.set(1, grad_of_weight(g, a, g.dresults[0], g.operands[0], 1));
  };
  op.flops = [](const OpView& view) { return conv_flops(view.operands[1], view.operands[0]); };
  op.examples = [](std::vector<Example>& out) {
    each_case([&](const char* note, const Conv2dAttrs& a, const Type& x, const Type& w, const Type& y) {
      out.push_back({note, Attrs::of(grad_attrs(a, x)), {{y}, {w}}});
    });
  };
  return op;
}();

const OpDef kConv2dWeightGrad = [] {
  OpDef op{"conv2d_weight_grad", ir::attrs_info<Conv2dGradAttrs>(), infer_weight_grad,
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             grad_rules(view, out, view.operands[0].dims[0].axis);
           }};
  op.gradient = [](GradContext& g) {
    const Conv2dAttrs a = g.op.attrs_as<Conv2dGradAttrs>().conv;
    if (g.wants(0)) g.set(0, grad_of_input(g, a, g.operands[1], g.dresults[0], 0));
    if (g.wants(1)) g.set(1, cast(g.b, conv2d(g.b, g.operands[0], g.dresults[0], a), g.grad_dtype(1)));
  };
  op.flops = [](const OpView& view) { return conv_flops(view.results[0], view.operands[1]); };
  op.examples = [](std::vector<Example>& out) {
    each_case([&](const char* note, const Conv2dAttrs& a, const Type& x, const Type& w, const Type& y) {
      out.push_back({note, Attrs::of(grad_attrs(a, w)), {{x}, {y}}});
    });
  };
  return op;
}();

ValueId conv2d(Builder& b, ValueId x, ValueId w, const Conv2dAttrs& attrs) {
  return b.emit1(kConv2d, Attrs::of(attrs), {x, w});
}
ValueId conv2d_input_grad(Builder& b, ValueId dy, ValueId w, const Conv2dGradAttrs& attrs) {
  return b.emit1(kConv2dInputGrad, Attrs::of(attrs), {dy, w});
}
ValueId conv2d_weight_grad(Builder& b, ValueId x, ValueId dy, const Conv2dGradAttrs& attrs) {
  return b.emit1(kConv2dWeightGrad, Attrs::of(attrs), {x, dy});
}

}  // namespace hoist::ops
