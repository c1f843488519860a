#include "ops/paged.h"

#include "ops/attention.h"
#include "ops/common.h"
#include "ops/constants.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/kv_row.h"
#include "ops/monoids.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace hoist::ops {

using ir::Attrs;
using ir::Builder;
using ir::Dim;
using ir::Example;
using ir::ExampleOperand;
using ir::Fill;
using ir::OpDef;
using ir::OpView;
using ir::Type;
using ir::ValueId;

namespace {

// Dense floats, or rows of ops/kv_row.h.
void expect_pool(const OpView& view, int operand) {
  const Type& t = view.operands[static_cast<size_t>(operand)];
  if (t.dtype != DType::i8) return expect_dense_float(view, operand);
  ir::expect(view, t.format.empty() && t.rank() == 4 && t.dims[3].size > kKvScaleBytes,
             "expected an i8 pool[blocks, block, kv_heads, head_dim + 2]");
}

// ---- kv_write
// ------------------------------------------------------------------------------------------------

void infer_write(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 3);
  expect_pool(view, 0);
  expect_dense_float(view, 1);
  expect_ids(view, 2);
  const Type &pool = view.operands[0], &x = view.operands[1], &slot = view.operands[2];
  ir::expect(view, pool.rank() == 4 && !pool.dims[0].live,
             "expected a pool[blocks, block, kv_heads, head_dim]");
  const bool rows = pool.dtype == DType::i8;
  ir::expect(view,
             x.rank() == 3 && x.dims[1] == pool.dims[2] &&
                 (rows ? x.dims[2].size + kKvScaleBytes == pool.dims[3].size && !pool.has(x.dims[2].axis) &&
                             !x.has(pool.dims[3].axis)
                       : x.dims[2] == pool.dims[3]),
             "expected x[tokens, kv_heads, head_dim] with the pool's heads");
  ir::expect(view, !pool.has(x.dims[0].axis), "tokens must not be an axis of the pool");
  ir::expect(view, slot.dims == ir::Dims{x.dims[0]}, "expected slot[tokens]");
  ir::expect(view, (pool.dtype == DType::f64) == (x.dtype == DType::f64),
             "f64 does not mix with other types");
  ir::expect(view, pool.dims[0].size <= INT32_MAX / std::max<int64_t>(pool.dims[1].size, 1),
             "a pool may hold at most 2^31 - 1 slots, which are i32");
  const int64_t base = view.attrs_as<KvWriteAttrs>().base;
  ir::expect(view, base >= 0 && base <= INT32_MAX - pool.dims[0].size, "base out of range");
  results.push_back(pool);
}

void write_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  ir::AxisRule& blocks = r.map(view.operands[0].dims[0].axis);
  blocks.indexed = true;
  blocks.set_base = [](Attrs& attrs, int64_t base) { attrs.as<KvWriteAttrs>().base += base; };
  r.whole(view.operands[0].dims[1].axis, "slots address blocks, each of a fixed size");
  // Each piece of tokens writes into the pool that the one before it left: the pool is the carry.
  ir::AxisRule& tokens = r.map(view.operands[1].dims[0].axis);
  tokens.result[0] = {ir::AxisKind::kScan};
  tokens.carry_operand = 0;
  tokens.carry_result = 0;
  if (view.operands[0].dtype == DType::i8)
    for (const Type& t : {view.operands[0], view.operands[1]})
      r.whole(t.dims.back().axis, "a row has one scale");
  r.map_rest();
}

double write_flops(const OpView&) { return 0; }

void write_examples(std::vector<Example>& out) {
  const Dim blocks{"blocks", 4}, block{"block", 3}, heads{"kv_heads", 2}, head_dim{"head_dim", 4};
  auto add = [&](const char* note, DType pool, Dim tokens, Fill fill, int64_t limit) {
    out.push_back({note,
                   Attrs::of(KvWriteAttrs{}),
                   {{Type(pool, {blocks, block, heads, head_dim})},
                    {Type(DType::f32, {tokens, heads, head_dim})},
                    {Type(DType::i32, {tokens}), fill, limit}}});
  };
  add("every slot has at most one token", DType::f32, {"tokens", 7}, Fill::kPermutation, 0);
  add("slots past the pool are skipped", DType::f32, {"tokens", 20}, Fill::kPermutation, 0);
  add("narrow pool", DType::bf16, {"tokens", 7}, Fill::kPermutation, 0);
  out.push_back({"int8 rows",
                 Attrs::of(KvWriteAttrs{}),
                 {{Type(DType::i8, {blocks, block, heads, {"kv_row", 6}}), Fill::kIndex, 3},
                  {Type(DType::f32, {{"tokens", 7}, heads, head_dim})},
                  {Type(DType::i32, {{"tokens", 7}}), Fill::kPermutation}}});
}

// ---- kv_read
// ------------------------------------------------------------------------------------------------

void infer_read(const OpView& view, std::vector<Type>& results) {
  ir::expect_operands(view, 1);
  const Type& pool = view.operands[0];
  ir::expect(view, pool.dtype == DType::i8, "expected an i8 pool");
  expect_pool(view, 0);
  const ir::Axis axis = view.attrs_as<KvReadAttrs>().axis;
  ir::expect(view, !(axis == pool.dims[3].axis), "the elements' axis must differ from the rows'");
  Type x(DType::f32, {});
  for (int i = 0; i < 3; ++i) append_dim(view, x, pool.dims[i]);
  append_dim(view, x, {axis, pool.dims[3].size - kKvScaleBytes});
  results.push_back(x);
}

void read_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  ir::RuleBuilder r{view, out};
  r.whole(view.operands[0].dims[3].axis, "a row has one scale");
  r.whole(view.attrs_as<KvReadAttrs>().axis, "a row has one scale");
  r.map_rest();
}

double read_flops(const OpView& view) { return static_cast<double>(view.operands[0].elements()); }

void read_examples(std::vector<Example>& out) {
  out.push_back(
      {"int8 rows to floats",
       Attrs::of(KvReadAttrs{"head_dim"}),
       {{Type(DType::i8, {{"blocks", 4}, {"block", 3}, {"kv_heads", 2}, {"kv_row", 6}}), Fill::kIndex, 3}}});
}

// ---- paged_attention
// -----------------------------------------------------------------------------------------

void infer_attention(const OpView& view, std::vector<Type>& results) {
  const PagedAttentionAttrs& a = view.attrs_as<PagedAttentionAttrs>();
  ir::expect_operands(view, a.has_sinks ? 7 : 6);
  expect_dense_float(view, 0);
  for (int i : {1, 2}) expect_pool(view, i);
  for (int i = 3; i < 6; ++i) expect_ids(view, i);
  const Type &q = view.operands[0], &k = view.operands[1], &v = view.operands[2], &table = view.operands[3];
  ir::expect(view, q.rank() == 4 && k.rank() == 4 && v.rank() == 4 && table.rank() == 2,
             "expected q[tokens, kv_heads, group, head_dim], pools [blocks, block, kv_heads, head_dim] and "
             "table[seqs, seq_blocks]");
  const bool rows = k.dtype == DType::i8;
  ir::expect(view,
             k.dims[0] == v.dims[0] && k.dims[1] == v.dims[1] && k.dims[2] == v.dims[2] &&
                 k.dims[2] == q.dims[1] &&
                 (rows ? v.dtype == DType::i8 && k.dims[3] == v.dims[3] && !q.has(k.dims[3].axis) &&
                             k.dims[3].size == q.dims[3].size + kKvScaleBytes
                       : v.dtype != DType::i8 && k.dims[3] == q.dims[3]),
             "pools differ in blocks or heads, or from q in heads");
  ir::expect(view, !k.dims[0].live, "the pool's blocks may not be live");
  ir::expect(view, a.base >= 0 && table.dims[0].size <= INT32_MAX && a.base <= INT32_MAX - table.dims[0].size,
             "base out of range");
  ir::expect(view, table.dims[1].size <= INT32_MAX / std::max<int64_t>(k.dims[1].size, 1),
             "a sequence may have at most 2^31 - 1 positions, which are i32");
  const bool f64 = q.dtype == DType::f64;
  ir::expect(view, (k.dtype == DType::f64) == f64 && (v.dtype == DType::f64) == f64,
             "f64 does not mix with other types");
  for (size_t i : {4, 5})
    ir::expect(view, view.operands[i].dims == ir::Dims{q.dims[0]}, "expected seq and pos [tokens]");
  for (const Dim& d : q.dims)
    ir::expect(view, !table.has(d.axis) && !(d.axis == k.dims[0].axis) && !(d.axis == k.dims[1].axis),
               "axes of blocks and sequences must be apart from those of q");
  for (int i = 0; i < 2; ++i)
    ir::expect(view, !k.has(table.dims[i].axis) && !v.has(table.dims[i].axis),
               "axes of table must be apart from the pools'");
  ir::expect(view, a.window >= 0 && a.softcap >= 0, "window and softcap must not be negative");
  if (a.has_sinks) {
    expect_dense_float(view, 6);
    ir::expect(view,
               view.operands[6].dims == ir::Dims{q.dims[1], q.dims[2]} &&
                   (view.operands[6].dtype == DType::f64) == f64,
               "sinks must be float [kv_heads, group]");
  }
  Type o(q.dtype, {});
  for (int i = 0; i < 3; ++i) append_dim(view, o, q.dims[i]);
  append_dim(view, o, rows ? q.dims[3] : v.dims[3]);
  results.push_back(o);
}

void attention_rules(const OpView& view, std::vector<ir::AxisRule>& out) {
  const Type &q = view.operands[0], &k = view.operands[1], &table = view.operands[3];
  ir::RuleBuilder r{view, out};
  // A token whose sequence is elsewhere gets o = 0 here.
  ir::AxisRule& seqs = r.merge(table.dims[0].axis, kSum);
  seqs.indexed = true;
  seqs.set_base = [](Attrs& attrs, int64_t base) { attrs.as<PagedAttentionAttrs>().base += base; };
  r.whole(k.dims[0].axis, "a sequence's blocks may lie anywhere in the pool");
  r.whole(k.dims[1].axis, "the table addresses blocks, each of a fixed size");
  r.whole(table.dims[1].axis, "the softmax over a sequence's keys is not kept in parts");
  r.whole(q.dims[3].axis, "a score is nonlinear in the whole dot product");
  if (k.dtype == DType::i8) r.whole(k.dims[3].axis, "a row has one scale");
  r.map_rest();
}

// A name that no operand uses.
Symbol fresh(const OpView& view, std::string name) {
  auto used = [&] {
    for (const Type& t : view.operands)
      if (t.has(name)) return true;
    return false;
  };
  while (used()) name += "_";
  return name;
}

// Each token's own keys and values, gathered, then plain attention with one query per row. Quadratic in
// memory: an oracle, not a fallback to run by choice.
std::vector<ValueId> decompose(Builder& b, const OpView& view, std::span<const ValueId> x) {
  const PagedAttentionAttrs& a = view.attrs_as<PagedAttentionAttrs>();
  const Type &q = view.operands[0], &k = view.operands[1], &table = view.operands[3];
  const Symbol one = fresh(view, "query"), keys = fresh(view, "keys");
  auto gather = [&](ValueId pool) {
    if (k.dtype == DType::i8) pool = kv_read(b, pool, q.dims[3].axis);
    ValueId by_seq = embedding(b, pool, x[3], k.dims[0].axis);
    ValueId by_token =
        b.emit1(kEmbedding, Attrs::of(EmbeddingAttrs{table.dims[0].axis, a.base}), {by_seq, x[4]});
    return merge_axes(b, by_token, {table.dims[1].axis, k.dims[1].axis}, keys);
  };
  // pos, or -1 (which sees nothing) where the sequence lies outside the table. f32 holds positions below
  // 2^24, f64 all.
  auto f64 = [&](ValueId v) { return cast(b, v, DType::f64); };
  auto constant = [&](double v) { return full(b, v, DType::f64); };
  const double first = static_cast<double>(a.base),
               last = first + static_cast<double>(table.dims[0].size) - 1;
  ValueId inside = mul(b, greater_equal(b, f64(x[4]), constant(first)),
                       greater_equal(b, neg(b, f64(x[4])), constant(-last)));
  ValueId pos = affine(b, mul(b, affine(b, f64(x[5]), 1, 1), inside), 1, -1);
  // Contracting with a single one adds an axis, also to a live tensor.
  auto with_query = [&](ValueId v, DType dtype) {
    AxisList axes = axes_of(b.type(v));
    axes.insert(1, one);
    return contract(b, v, full(b, 1, dtype, {one}, {1}), axes);
  };
  AttentionOperands in;
  in.q = with_query(x[0], q.dtype);
  in.k = gather(x[1]);
  in.v = gather(x[2]);
  in.q_pos = cast(b, with_query(pos, DType::f64), DType::i32);
  in.k_pos = iota(b, keys, b.type(in.k).size_of(keys));
  if (a.has_sinks) in.sinks = x[6];
  AttentionAttrs attrs;
  attrs.window = a.window;
  attrs.scale = a.scale;
  attrs.softcap = a.softcap;
  return {reduce_sum(b, attention(b, in, attrs).o, {one})};
}

double attention_flops(const OpView& view) {
  const Type &q = view.operands[0], &k = view.operands[1], &v = view.operands[2], &table = view.operands[3];
  const double keys = static_cast<double>(table.dims[1].size) * static_cast<double>(k.dims[1].size);
  const double rows = static_cast<double>(q.dims[0].size * q.dims[1].size * q.dims[2].size);
  return 2 * rows * keys * static_cast<double>(q.dims[3].size + v.dims[3].size);
}

void attention_examples(std::vector<Example>& out) {
  auto add = [&](const char* note, PagedAttentionAttrs a, int64_t group, int64_t v_dim, Fill pos, bool live,
                 DType pool = DType::f32) {
    const Dim tokens{"tokens", 6, live}, heads{"kv_heads", 2}, groups{"group", group},
        head_dim{"head_dim", 4};
    const Dim blocks{"blocks", 8}, block{"block", 3}, seqs{"seqs", 3, live}, seq_blocks{"seq_blocks", 2};
    Example e{note, Attrs::of(a), {}};
    if (pool == DType::i8) {
      const Type rows(pool, {blocks, block, heads, {"kv_row", 6}});
      e.operands = {{Type(DType::f32, {tokens, heads, groups, head_dim})},
                    {rows, Fill::kIndex, 3},
                    {rows, Fill::kIndex, 3},
                    {Type(DType::i32, {seqs, seq_blocks}), Fill::kPermutation},
                    {Type(DType::i32, {tokens}), Fill::kIndex, 3},
                    {Type(DType::i32, {tokens}), pos, 6}};
      out.push_back(std::move(e));
      return;
    }
    e.operands = {{Type(DType::f32, {tokens, heads, groups, head_dim})},
                  {Type(pool, {blocks, block, heads, head_dim})},
                  {Type(pool, {blocks, block, heads, {"v_dim", v_dim}})},
                  {Type(DType::i32, {seqs, seq_blocks}), Fill::kPermutation},
                  {Type(DType::i32, {tokens}), Fill::kIndex, 3},
                  {Type(DType::i32, {tokens}), pos, 6}};
    if (a.has_sinks) e.operands.push_back({Type(DType::f32, {heads, groups})});
    out.push_back(std::move(e));
  };
  PagedAttentionAttrs a;
  a.scale = 0.5;
  add("decode: one token per sequence, grouped queries", a, 2, 4, Fill::kIndex, false);
  add("prefill, positions in order, unequal widths", a, 1, 3, Fill::kRamp, false);
  add("live tokens and sequences", a, 2, 4, Fill::kIndex, true);
  add("narrow pools", a, 2, 4, Fill::kIndex, false, DType::f16);
  add("int8 pools", a, 2, 4, Fill::kIndex, false, DType::i8);
  a.softcap = 1.5;
  add("soft cap", a, 2, 4, Fill::kIndex, false);
  a.softcap = 0, a.window = 2;
  add("window", a, 2, 4, Fill::kRamp, false);
  a.softcap = 2, a.window = 4, a.has_sinks = true;
  add("sinks, window and soft cap", a, 2, 5, Fill::kRamp, false);
  out.back().operands[4].limit = 5;  // some sequences lie outside the table
  out.back().note += ", padding tokens";
}

}  // namespace

const OpDef kKvWrite = [] {
  OpDef op{"kv_write", ir::attrs_info<KvWriteAttrs>(), infer_write, write_rules};
  op.no_gradient = "writes the serving state";
  op.flops = write_flops;
  op.examples = write_examples;
  op.in_place = {0};
  return op;
}();

const OpDef kKvRead = [] {
  OpDef op{"kv_read", ir::attrs_info<KvReadAttrs>(), infer_read, read_rules};
  op.no_gradient = "reads the serving state";
  op.flops = read_flops;
  op.examples = read_examples;
  return op;
}();

const OpDef kPagedAttention = [] {
  OpDef op{"paged_attention", ir::attrs_info<PagedAttentionAttrs>(), infer_attention, attention_rules};
  op.decompose = decompose;
  op.no_gradient = "reads the serving state; training uses attention";
  op.flops = attention_flops;
  op.examples = attention_examples;
  return op;
}();

ValueId kv_write(Builder& b, ValueId pool, ValueId x, ValueId slot) {
  return b.emit1(kKvWrite, Attrs::of(KvWriteAttrs{}), {pool, x, slot});
}

ValueId kv_read(Builder& b, ValueId pool, ir::Axis axis) {
  return b.emit1(kKvRead, Attrs::of(KvReadAttrs{axis}), {pool});
}

ValueId paged_attention(Builder& b, const PagedAttentionOperands& in, PagedAttentionAttrs attrs) {
  attrs.has_sinks = in.sinks != ir::kNoValue;
  std::vector<ValueId> x = {in.q, in.k_pool, in.v_pool, in.table, in.seq, in.pos};
  if (attrs.has_sinks) x.push_back(in.sinks);
  return b.emit(kPagedAttention, Attrs::of(attrs), x)[0];
}

}  // namespace hoist::ops
