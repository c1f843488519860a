#include "ops/triangle_multiply.h"

#include "ops/common.h"
#include "ops/contract.h"
#include "ops/monoids.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Dim;
using ir::Example;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

// Which of the last three dims of an operand is its own corner (i or j); the other, before c, is k.
int corner(const OpView& view, const Type& t) {
  return t.rank() - (view.attrs_as<TriangleMultiplyAttrs>().outgoing ? 3 : 2);
}
int shared(const OpView& view, const Type& t) {
  return t.rank() - (view.attrs_as<TriangleMultiplyAttrs>().outgoing ? 2 : 3);
}

void infer(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 2);
  expect_dense_float(view, 0);
  expect_dense_float(view, 1);
  const Type &x = view.operands[0], &y = view.operands[1];
  const int n = x.rank() - 3;
  ir::expect(view, n >= 0 && y.rank() == x.rank() && x.dtype == y.dtype,
             "expected two tensors of one dtype and rank, at least 3");
  Type t(x.dtype, {});
  for (int i = 0; i < n; ++i) {
    ir::expect(view, x.dims[i] == y.dims[i], "leading axes differ");
    append_dim(view, t, x.dims[i]);
  }
  ir::expect(view, x.dims[shared(view, x)] == y.dims[shared(view, y)], "the shared corner differs");
  ir::expect(view, x.dims.back() == y.dims.back(), "channels differ");
  ir::expect(view, !x.has(y.dims[corner(view, y)].axis), "the corners must have different names");
  append_dim(view, t, x.dims[corner(view, x)]);
  append_dim(view, t, y.dims[corner(view, y)]);
  append_dim(view, t, x.dims.back());
  results.push_back(t);
}

void rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  r.merge(view.operands[0].dims[shared(view, view.operands[0])].axis, kSum);
  r.map_rest();
}

std::vector<ValueId> decompose(Builder& b, const OpView& view, std::span<const ValueId> x) {
  return {contract(b, x[0], x[1], axes_of(view.results[0]), view.results[0].dtype)};
}

double flops(const OpView& view) {
  const Type& x = view.operands[0];
  return 2.0 * static_cast<double>(view.results[0].elements()) *
         static_cast<double>(x.dims[shared(view, x)].size);
}

void examples(std::vector<Example>& out) {
  const Dim batch{"batch", 2}, i{"i", 4}, j{"j", 3}, k{"k", 5}, c{"channels", 3};
  auto add = [&](const char* note, bool outgoing, ir::Dims x, ir::Dims y) {
    out.push_back(
        {note, Attrs::of(TriangleMultiplyAttrs{outgoing}), {{Type(DType::f32, x)}, {Type(DType::f32, y)}}});
  };
  add("outgoing", true, {i, k, c}, {j, k, c});
  add("incoming", false, {k, i, c}, {k, j, c});
  add("outgoing, batched", true, {batch, i, k, c}, {batch, j, k, c});
}

}  // namespace

const OpDef kTriangleMultiply = [] {
  OpDef op{"triangle_multiply", ir::attrs_info<TriangleMultiplyAttrs>(), infer, rules};
  op.decompose = decompose;
  op.flops = flops;
  op.examples = examples;
  return op;
}();

ValueId triangle_multiply(Builder& b, ValueId x, ValueId y, bool outgoing) {
  return b.emit1(kTriangleMultiply, Attrs::of(TriangleMultiplyAttrs{outgoing}), {x, y});
}

}  // namespace hoist::ops
