// Paged KV: keys and values live in pools of fixed blocks; a sequence is a row of a table of block numbers.
// Position p of a sequence lies in pool block table[seq][p / block] at offset p % block.
//
// Serving only (no gradients). `tokens` and `seqs` may be live. Pools may be narrower floats than the
// activations; or i8, whose rows are two bytes longer than head_dim and carry a scale per token and head
// (ops/kv_row.h): then keys and values have the same width, and the pools' last axis has a name of its own.
#pragma once

#include "ir/op.h"

namespace hoist::ops {

struct KvWriteAttrs {
  int64_t base =
      0;  // the pool piece's first block, when blocks are split; slots outside the piece are skipped
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("base", self.base);
  }
};

// pool[blocks, block, kv_heads, head_dim], x[tokens, kv_heads, head_dim], slot i32[tokens] -> pool, updated
// in place. slot = block number * block size + offset; a slot outside the pool (negative: padding) writes
// nothing; slots that write are distinct. x is converted to the pool's dtype, or to rows of ops/kv_row.h.
ir::ValueId kv_write(ir::Builder& b, ir::ValueId pool, ir::ValueId x, ir::ValueId slot);

struct KvReadAttrs {
  ir::Axis axis;  // of the rows' elements
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("axis", self.axis);
  }
};

// An i8 pool [blocks, block, kv_heads, width + 2] -> f32 [blocks, block, kv_heads, axis of `width`].
ir::ValueId kv_read(ir::Builder& b, ir::ValueId pool, ir::Axis axis);

struct PagedAttentionAttrs {
  double scale = 1;
  double softcap = 0;  // 0: none
  int64_t window = 0;  // 0: unlimited
  bool has_sinks = false;
  int64_t base = 0;  // the table piece's first sequence, when seqs are split
  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("scale", self.scale);
    v("softcap", self.softcap);
    v("window", self.window);
    v("has_sinks", self.has_sinks);
    v("base", self.base);
  }
};

struct PagedAttentionOperands {
  ir::ValueId q;                     // float [tokens, kv_heads, group, head_dim]
  ir::ValueId k_pool, v_pool;        // float [blocks, block, kv_heads, head_dim], [.., v_dim]; or both i8
  ir::ValueId table;                 // i32 [seqs, seq_blocks]
  ir::ValueId seq, pos;              // i32 [tokens]: the row of `table`, and the position, of each token
  ir::ValueId sinks = ir::kNoValue;  // float [kv_heads, group]
};

// -> o[tokens, kv_heads, group, v_dim] in q's dtype (head_dim over i8 pools). Token t sees positions
// 0..pos[t] of sequence seq[t] (its own key is written first); of those, with a window, the last `window`.
// Scores as in ops/attention.h. A sequence outside the table (negative: padding) gives o = 0; so does a
// negative pos. Table entries of visible positions must be blocks of the pool; kernels read an entry outside
// it as a block of zeros. Over bf16 pools, kernels may round queries and probabilities to bf16 before
// multiplying, over i8 pools queries to 16-bit integers with a scale per row; sums are f32.
ir::ValueId paged_attention(ir::Builder& b, const PagedAttentionOperands& operands,
                            PagedAttentionAttrs attrs);

extern const ir::OpDef kKvWrite, kKvRead, kPagedAttention;

}  // namespace hoist::ops
