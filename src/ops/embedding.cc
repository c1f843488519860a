#include "ops/embedding.h"

#include "ops/common.h"
#include "ops/elementwise.h"
#include "ops/monoids.h"

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

void infer_embedding(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 2);
  const ir::Format* format = ir::find_format(view.operands[0].format);
  if (format && format->panel &&
      is_float(view.operands[0].dtype)) {  // a table that is also the head's weights
    const std::string why = ir::format_problem(view.operands[0]);
    ir::expect(view, why.empty(), why.c_str());
    ir::expect(view, format->panel == view.operands[0].rank() - 1, "expected one row of a panel for an id");
  } else {
    expect_dense_float(view, 0);
  }
  expect_ids(view, 1);
  const Type &table = view.operands[0], &ids = view.operands[1];
  const EmbeddingAttrs& a = view.attrs_as<EmbeddingAttrs>();
  expect_base(view, a.base);
  ir::expect(view, table.rank() > 0 && table.dims[0].axis == a.axis,
             "expected the axis as the table's outermost");
  ir::expect(view, !ids.has(a.axis), "ids may not have the table's axis");
  Type t(table.dtype, ids.dims);
  for (int i = 1; i < table.rank(); ++i) append_dim(view, t, table.dims[i]);
  results.push_back(t);
}

void embedding_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder rules{view, out};
  ir::AxisRule& r = rules.merge(view.attrs_as<EmbeddingAttrs>().axis, kSum);
  r.indexed = true;
  r.set_base = [](Attrs& a, int64_t base) { a.as<EmbeddingAttrs>().base += base; };
  rules.map_rest();
}

void infer_grad(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 2);
  expect_dense_float(view, 0);
  expect_ids(view, 1);
  const Type &dy = view.operands[0], &ids = view.operands[1];
  const EmbeddingGradAttrs& a = view.attrs_as<EmbeddingGradAttrs>();
  expect_base(view, a.base);
  ir::expect(view, is_float(a.to) && (a.to == DType::f64) == (dy.dtype == DType::f64),
             "expected a float dtype in 'to'; f64 does not mix with other types");
  ir::expect(view, ids.rank() <= dy.rank(), "expected dy to start with the axes of ids");
  for (int i = 0; i < ids.rank(); ++i)
    ir::expect(view, dy.dims[i] == ids.dims[i], "expected dy to start with the axes of ids");
  Type t(a.to, {});
  append_dim(view, t, {a.axis, a.size, a.live});
  ir::expect(view, !ids.has(a.axis), "ids may not have the table's axis");
  for (int i = ids.rank(); i < dy.rank(); ++i) append_dim(view, t, dy.dims[i]);
  results.push_back(t);
}

void grad_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder rules{view, out};
  ir::AxisRule& r = rules.map(view.attrs_as<EmbeddingGradAttrs>().axis);
  r.indexed = true;
  r.set_base = [](Attrs& a, int64_t base) { a.as<EmbeddingGradAttrs>().base += base; };
  r.set_extent = [](Attrs& a, int64_t extent) { a.as<EmbeddingGradAttrs>().size = extent; };
  for (const ir::Dim& d : view.operands[1].dims) rules.merge(d.axis, kSum);
  rules.map_rest();
}

}  // namespace

const OpDef kEmbedding = [] {
  OpDef op{"embedding", ir::attrs_info<EmbeddingAttrs>(), infer_embedding, embedding_rules};
  op.gradient = [](GradContext& g) {
    if (!g.wants(0)) return;
    const EmbeddingAttrs& a = g.op.attrs_as<EmbeddingAttrs>();
    const ir::Dim& rows = g.op.operands[0].dims[0];
    const EmbeddingGradAttrs grad{a.axis, rows.size, a.base, g.grad_dtype(0), rows.live};
    g.set(0, g.b.emit1(kEmbeddingGrad, Attrs::of(grad), {g.dresults[0], g.operands[1]}));
  };
  // Copies: no arithmetic.
  op.flops = [](const OpView&) { return 0.0; };
  op.examples = [](std::vector<Example>& out) {
    Type table(DType::f32, {{"vocab", 9}, {"model", 4}});
    out.push_back({"tokens",
                   Attrs::of(EmbeddingAttrs{"vocab"}),
                   {{table}, {Type(DType::i32, {{"tokens", 5}}), Fill::kIndex, 9}}});
    out.push_back({"two id axes, ids outside the piece",
                   Attrs::of(EmbeddingAttrs{"vocab", 3}),
                   {{table}, {Type(DType::i32, {{"batch", 2}, {"seq", 4}}), Fill::kIndex, 14}}});
    out.push_back({"scalars picked",
                   Attrs::of(EmbeddingAttrs{"vocab"}),
                   {{Type(DType::f32, {{"vocab", 6}})}, {Type(DType::i32, {{"rows", 3}}), Fill::kIndex, 6}}});
  };
  return op;
}();

const OpDef kEmbeddingGrad = [] {
  OpDef op{"embedding_grad", ir::attrs_info<EmbeddingGradAttrs>(), infer_grad, grad_rules};
  op.gradient = [](GradContext& g) {
    if (!g.wants(0)) return;
    const EmbeddingGradAttrs& a = g.op.attrs_as<EmbeddingGradAttrs>();
    ValueId dy =
        g.b.emit1(kEmbedding, Attrs::of(EmbeddingAttrs{a.axis, a.base}), {g.dresults[0], g.operands[1]});
    g.set(0, cast(g.b, dy, g.op.operands[0].dtype));
  };
  op.flops = [](const OpView& view) { return static_cast<double>(view.operands[0].elements()); };
  op.examples = [](std::vector<Example>& out) {
    out.push_back({"tokens, some ids twice",
                   Attrs::of(EmbeddingGradAttrs{"vocab", 4}),
                   {{Type(DType::f32, {{"tokens", 7}, {"model", 3}})},
                    {Type(DType::i32, {{"tokens", 7}}), Fill::kIndex, 4}}});
    out.push_back({"ids outside the piece",
                   Attrs::of(EmbeddingGradAttrs{"vocab", 3, 2}),
                   {{Type(DType::f32, {{"batch", 2}, {"seq", 4}, {"model", 3}})},
                    {Type(DType::i32, {{"batch", 2}, {"seq", 4}}), Fill::kIndex, 7}}});
  };
  return op;
}();

ValueId embedding(Builder& b, ValueId table, ValueId ids, Symbol axis) {
  return b.emit1(kEmbedding, Attrs::of(EmbeddingAttrs{axis}), {table, ids});
}
ValueId embedding_grad(Builder& b, ValueId dy, ValueId ids, Symbol axis, int64_t size, int64_t base,
                       DType to) {
  return b.emit1(kEmbeddingGrad, Attrs::of(EmbeddingGradAttrs{axis, size, base, to}), {dy, ids});
}

}  // namespace hoist::ops
