#include "ops/block_states.h"

#include "ops/common.h"

namespace hoist::ops {

using ir::Attrs;
using ir::AxisRule;
using ir::Builder;
using ir::Example;
using ir::ExampleOperand;
using ir::Fill;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

void expect_pair(const OpView& view, int codes) {
  const Type& q = view.operands[static_cast<size_t>(codes)];
  ir::expect(view, q.dtype == DType::u8 && q.format.empty() && q.rank() > 0,
             "codes must be u8 and have an axis");
  ir::expect(view, !q.dims.back().live, "the innermost axis may not be live");
  const Type scales = block_scales_type(q);
  expect_type(view, codes + 1, scales.dtype, scales.dims);
}

void infer_load(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 2);
  expect_pair(view, 0);
  results.push_back(view.operands[0].with_dtype(DType::f32));
}

void infer_save(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 4);
  expect_pair(view, 1);
  expect_type(view, 0, DType::f32, view.operands[1].dims);
  expect_type(view, 3, DType::f32, {});
  for (size_t i : {1, 2}) results.push_back(view.operands[i]);
}

// The innermost axis is counted in blocks where they fill it, and may not be cut elsewhere.
void block_rules(const OpView& view, std::vector<AxisRule>& out, int codes) {
  ir::RuleBuilder rules{view, out};
  const ir::Dim& inner = view.operands[static_cast<size_t>(codes)].dims.back();
  const ir::Axis blocks = view.operands[static_cast<size_t>(codes) + 1].dims.back().axis;
  if (blocks == inner.axis) {
    rules.map(inner.axis).extent = inner.size / kStateBlock;
  } else {
    const char* why = "a block of 256 elements shares a scale";
    rules.whole(inner.axis, why);
    rules.whole(blocks, why);
  }
  rules.map_rest();
}

void load_rules(const OpView& view, std::vector<AxisRule>& out) { block_rules(view, out, 0); }
void save_rules(const OpView& view, std::vector<AxisRule>& out) { block_rules(view, out, 1); }

template <class Add>
void each_shape(Add add) {
  for (bool is_signed : {true, false}) {
    add("one short block a row", is_signed, ir::Dims{{"rows", 5}, {"cols", 7}});
    add("whole blocks", is_signed, ir::Dims{{"rows", 3}, {"cols", 3 * kStateBlock}});
    add("a part of a block at the end", is_signed, ir::Dims{{"cols", 2 * kStateBlock + 9}});
  }
}

void load_examples(std::vector<Example>& out) {
  each_shape([&](const char* note, bool is_signed, const ir::Dims& dims) {
    const Type state(DType::f32, dims);
    out.push_back(
        {note,
         Attrs::of(BlockStateAttrs{is_signed}),
         {{block_codes_type(state), Fill::kIndex, 256}, {block_scales_type(state), Fill::kPositive}}});
  });
}

void save_examples(std::vector<Example>& out) {
  auto add = [&](const char* note, bool is_signed, const ir::Dims& dims, Fill ok) {
    const Type state(DType::f32, dims);
    out.push_back({note,
                   Attrs::of(BlockStateAttrs{is_signed}),
                   {{state, is_signed ? Fill::kNormal : Fill::kPositive},
                    {block_codes_type(state), Fill::kIndex, 256},
                    {block_scales_type(state), Fill::kPositive},
                    {Type(DType::f32, {}), ok}}});
  };
  each_shape([&](const char* note, bool is_signed, const ir::Dims& dims) {
    add(note, is_signed, dims, Fill::kOne);
  });
  add("not ok: nothing changes", true, ir::Dims{{"rows", 5}, {"cols", 7}}, Fill::kZero);
}

}  // namespace

Type block_codes_type(const Type& state) { return state.with_dtype(DType::u8); }

Type block_scales_type(const Type& state) {
  Type t = state.with_dtype(DType::f32);
  ir::Dim& inner = t.dims.back();
  if (inner.size % kStateBlock) inner.axis = Symbol(inner.axis.str() + "_blocks");
  inner.size = (inner.size + kStateBlock - 1) / kStateBlock;
  return t;
}

const OpDef kLoadBlocks = [] {
  OpDef op{"load_blocks", ir::attrs_info<BlockStateAttrs>(), infer_load, load_rules};
  op.no_gradient = "reads an optimizer's state; nothing is differentiated through it";
  op.flops = [](const OpView& view) { return static_cast<double>(view.operands[0].elements()); };
  op.examples = load_examples;
  return op;
}();

const OpDef kSaveBlocks = [] {
  OpDef op{"save_blocks", ir::attrs_info<BlockStateAttrs>(), infer_save, save_rules};
  op.no_gradient = "an update of the state; nothing is differentiated through it";
  op.flops = [](const OpView& view) { return 3.0 * static_cast<double>(view.operands[0].elements()); };
  op.examples = save_examples;
  op.in_place = {1, 2};
  return op;
}();

ValueId load_blocks(Builder& b, ValueId codes, ValueId scales, const BlockStateAttrs& attrs) {
  return b.emit1(kLoadBlocks, Attrs::of(attrs), {codes, scales});
}

BlockState save_blocks(Builder& b, ValueId x, const BlockState& before, ValueId ok,
                       const BlockStateAttrs& attrs) {
  const ValueId operands[] = {x, before.codes, before.scales, ok};
  const std::vector<ValueId> r = b.emit(kSaveBlocks, Attrs::of(attrs), operands);
  return {r[0], r[1]};
}

}  // namespace hoist::ops
