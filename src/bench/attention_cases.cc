// Attention: forward and backward over whole sequences, and decode over paged keys and values.
#include <cmath>
#include <string>

#include "bench/kernel_cases.h"
#include "bench/op_run.h"
#include "ops/attention.h"
#include "ops/kv_row.h"
#include "ops/paged.h"

namespace hoist::bench {

namespace {

using ir::Attrs;
using ir::Type;

struct Heads {
  int64_t kv_heads, group, dim;
};

std::string heads_text(const Heads& h) {
  return std::to_string(h.kv_heads * h.group) + "/" + std::to_string(h.kv_heads) + "x" +
         std::to_string(h.dim);
}

void add_whole(DType d, int64_t batch, int64_t seq, const Heads& h, std::vector<Case>& cases) {
  ops::AttentionAttrs attrs;
  attrs.q_axis = "q";
  attrs.k_axis = "k";
  attrs.scale = 1 / std::sqrt(static_cast<double>(h.dim));
  const Type q(d, {{"batch", batch}, {"q", seq}, {"kv", h.kv_heads}, {"group", h.group}, {"d", h.dim}}),
      k(d, {{"batch", batch}, {"k", seq}, {"kv", h.kv_heads}, {"d", h.dim}}),
      v(d, {{"batch", batch}, {"k", seq}, {"kv", h.kv_heads}, {"e", h.dim}}),
      o(d, {{"batch", batch}, {"q", seq}, {"kv", h.kv_heads}, {"group", h.group}, {"e", h.dim}}),
      lse(DType::f32, {{"batch", batch}, {"q", seq}, {"kv", h.kv_heads}, {"group", h.group}});
  std::vector<Operand> operands = {{q},
                                   {k},
                                   {v},
                                   {Type(DType::i32, {{"q", seq}}), 0, 1, true},
                                   {Type(DType::i32, {{"k", seq}}), 0, 1, true}};
  Case c;
  c.name = "attention";
  c.shape = std::to_string(batch) + "x" + std::to_string(seq) + " " + heads_text(h);
  c.dtype = std::string(dtype_name(d));
  c.unit = "GFLOP/s";
  c.work.arithmetic = d == DType::bf16 ? Arithmetic::kBf16 : Arithmetic::kF32;
  // Two products over the visible half of the pairs.
  const double pairs = static_cast<double>(batch * h.kv_heads * h.group) * 0.5 * static_cast<double>(seq) *
                       static_cast<double>(seq + 1);
  c.work.ops = 4.0 * pairs * static_cast<double>(h.dim);
  c.amount = c.work.ops * 1e-9;
  c.ours = [attrs, operands](const Setting& s) {
    return op_run(s, ops::kAttention, Attrs::of(attrs), operands);
  };
  cases.push_back(c);
  operands.insert(operands.end(), {{o}, {lse}, {o}});
  c.name = "attention_grad";
  c.work.ops *= 2.5;  // five products, the scores anew among them
  c.amount *= 2.5;
  c.ours = [attrs, operands](const Setting& s) {
    return op_run(s, ops::kAttentionGrad, Attrs::of(attrs), operands);
  };
  cases.push_back(std::move(c));
}

void add_decode(DType cache, int64_t streams, int64_t context, const Heads& h, std::vector<Case>& cases) {
  constexpr int64_t kBlock = 16;
  const int64_t per_stream = (context + kBlock - 1) / kBlock;
  const int64_t row = h.dim + (cache == DType::i8 ? ops::kKvScaleBytes : 0);
  ops::PagedAttentionAttrs attrs;
  attrs.scale = 1 / std::sqrt(static_cast<double>(h.dim));
  const Type q(DType::f32, {{"tokens", streams}, {"kv", h.kv_heads}, {"group", h.group}, {"d", h.dim}}),
      // int8 rows carry their scale in two more bytes (ops/kv_row.h).
      keys(cache, {{"blocks", streams * per_stream},
                   {"block", kBlock},
                   {"kv", h.kv_heads},
                   {cache == DType::i8 ? "row" : "d", row}}),
      values(cache, {{"blocks", streams * per_stream},
                     {"block", kBlock},
                     {"kv", h.kv_heads},
                     {cache == DType::i8 ? "row" : "e", row}}),
      table(DType::i32, {{"seqs", streams}, {"seq_blocks", per_stream}}),
      each(DType::i32, {{"tokens", streams}});
  // Bytes below 100: no scale is NaN.
  const std::vector<Operand> operands = {
      {q}, {keys, 0, 100}, {values, 0, 100}, {table, 0, 1, true}, {each, 0, 1, true}, {each, context - 1, 1}};
  Case c;
  c.name = "attention.decode";
  c.shape = std::to_string(streams) + "x" + std::to_string(context) + " " + heads_text(h);
  c.dtype = std::string(dtype_name(cache));
  c.unit = "GB/s";
  c.work.read = static_cast<double>(2 * streams * context * h.kv_heads * row * dtype_size(cache));
  c.amount = c.work.read * 1e-9;
  c.ours = [attrs, operands](const Setting& s) {
    return op_run(s, ops::kPagedAttention, Attrs::of(attrs), operands);
  };
  cases.push_back(std::move(c));
}

}  // namespace

void add_attention_cases(const CaseOptions& options, std::vector<Case>& cases) {
  const Heads gpt2{12, 1, 64}, llama{4, 8, 64}, wide{8, 4, 128};
  if (options.small) {
    add_whole(DType::f32, 1, 8, {2, 1, 16}, cases);
    add_decode(DType::f32, 2, 20, {2, 2, 16}, cases);
    return;
  }
  for (DType d : {DType::f32, DType::bf16}) {
    add_whole(d, 4, 64, gpt2, cases);
    add_whole(d, 4, 512, gpt2, cases);
    add_whole(d, 1, 2048, llama, cases);
  }
  // Pools far larger than the caches: bytes come from memory.
  for (DType d : {DType::f32, DType::bf16, DType::i8}) {
    add_decode(d, 1, 131072, llama, cases);
    add_decode(d, 1, 65536, wide, cases);
    add_decode(d, 16, 8192, llama, cases);
  }
}

}  // namespace hoist::bench
