#include "ops/rope.h"

#include <cmath>

#include "ops/common.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Example;
using ir::Fill;
using ir::GradContext;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

constexpr const char* kHalf = "rope_half";

void infer_frequencies(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 0);
  const RopeFrequenciesAttrs& a = view.attrs_as<RopeFrequenciesAttrs>();
  ir::expect(view, a.dim > 0 && a.dim % 2 == 0 && a.dim <= 1 << 20, "expected an even dim");
  ir::expect(view, std::isfinite(a.theta) && a.theta > 0, "expected a positive theta");
  const std::string_view scaling = a.scaling.name();
  ir::expect(view, scaling.empty() || scaling == "linear" || scaling == "llama3",
             "expected scaling none, linear or llama3");
  ir::expect(view, std::isfinite(a.factor) && a.factor > 0, "expected a positive factor");
  if (scaling == "llama3")
    ir::expect(
        view,
        a.low > 0 && a.high > a.low && a.original > 0 && std::isfinite(a.high) && std::isfinite(a.original),
        "expected 0 < low < high and a positive original length");
  results.push_back(Type(DType::f32, {{kHalf, a.dim / 2}}));
}

void infer_rope(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 3);
  const RopeAttrs& a = view.attrs_as<RopeAttrs>();
  expect_dense_float(view, 0);
  expect_innermost(view, 0, a.axis);
  expect_ids(view, 1);
  const Type &x = view.operands[0], &pos = view.operands[1], &freqs = view.operands[2];
  ir::expect(view, is_subset(pos, x.without(a.axis)),
             "the axes of pos must be a subset of x's leading axes, in order");
  ir::expect(view,
             freqs.rank() == 1 && !freqs.dims[0].live && freqs.dtype == DType::f32 && freqs.format.empty(),
             "expected frequencies f32 [rope_half]");
  ir::expect(view, !x.has(freqs.dims[0].axis), "the frequencies' axis may not be one of x's");
  ir::expect(view, freqs.dims[0].size <= x.dims.back().size / 2, "more frequencies than pairs of channels");
  results.push_back(x);
}

void rope_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder rules{view, out};
  rules.whole(view.attrs_as<RopeAttrs>().axis, "channels turn in pairs that lie apart");
  rules.whole(view.operands[2].dims[0].axis, "it spans x's channels");
  rules.map_rest();
}

}  // namespace

const OpDef kRopeFrequencies = [] {
  OpDef op{"rope_frequencies", ir::attrs_info<RopeFrequenciesAttrs>(), infer_frequencies,
           [](const OpView& view, std::vector<ir::AxisRule>& out) {
             ir::RuleBuilder{view, out}.whole(kHalf, "a table of a few numbers");
           }};
  op.no_gradient = "no operand to differentiate";
  op.examples = [](std::vector<Example>& out) {
    auto add = [&](const char* note, const RopeFrequenciesAttrs& a) {
      out.push_back({note, Attrs::of(a), {}});
    };
    add("plain", {8, 10000});
    add("linear scaling", {8, 10000, "linear", 4});
    // Wavelengths on both sides of the band and inside it.
    add("llama3 scaling", {16, 500000, "llama3", 8, 1, 4, 64});
  };
  return op;
}();

const OpDef kRope = [] {
  OpDef op{"rope", ir::attrs_info<RopeAttrs>(), infer_rope, rope_rules};
  op.gradient = [](GradContext& g) {
    const RopeAttrs& a = g.op.attrs_as<RopeAttrs>();
    if (g.wants(0))
      g.set(0, rope(g.b, g.dresults[0], g.operands[1], g.operands[2], a.axis, a.scale, a.interleaved,
                    !a.inverse));
  };
  op.flops = [](const OpView& view) { return 3.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    auto add = [&](const char* note, const RopeAttrs& a, const ir::Dims& x, const ir::Dims& pos,
                   int64_t half) {
      out.push_back({note,
                     Attrs::of(a),
                     {{Type(DType::f32, x)},
                      {Type(DType::i32, pos), Fill::kIndex, 50},
                      {Type(DType::f32, {{kHalf, half}}), Fill::kPositive}}});
    };
    add("tokens and heads", {"head_dim"}, {{"tokens", 3}, {"heads", 2}, {"head_dim", 8}}, {{"tokens", 3}}, 4);
    add("interleaved, scaled", {"head_dim", 1.5, true}, {{"tokens", 3}, {"heads", 2}, {"head_dim", 8}},
        {{"tokens", 3}}, 4);
    add("partial", {"head_dim"}, {{"batch", 2}, {"seq", 3}, {"head_dim", 10}}, {{"seq", 3}}, 3);
    add("inverse, a position per row of a batch", {"head_dim", 1, false, true},
        {{"batch", 2}, {"seq", 3}, {"heads", 2}, {"head_dim", 4}}, {{"batch", 2}, {"seq", 3}}, 2);
  };
  return op;
}();

ValueId rope_frequencies(Builder& b, const RopeFrequenciesAttrs& attrs) {
  return b.emit1(kRopeFrequencies, Attrs::of(attrs), {});
}
ValueId rope(Builder& b, ValueId x, ValueId pos, ValueId freqs, Symbol axis, double scale, bool interleaved,
             bool inverse) {
  return b.emit1(kRope, Attrs::of(RopeAttrs{axis, scale, interleaved, inverse}), {x, pos, freqs});
}

}  // namespace hoist::ops
