// Layers as free functions over a Builder: composition of ops on named axes, no state of their own.
//
// Axis names used by language models: `batch`, `seq` (training) or `tokens` (serving); `model` (residual
// width), `kv_heads` x `group` (query heads), `head_dim`, `ffn`, `vocab`. `keys` is `seq` in its role as
// attention keys.
#pragma once

#include <optional>

#include "ir/graph.h"

namespace hoist::nn {

using ir::Builder;
using ir::ValueId;

// x [lead..., in axes] * w (in any layout over those axes and `out` axes) (+ bias [out axes]) -> [lead...,
// out axes] in x's dtype. The contracted axes are those shared by x and w.
ValueId linear(Builder& b, ValueId x, ValueId w, ValueId bias = ir::kNoValue);

// The residual branch of a gated MLP: down(act(gate x) * up x). Weights [ffn, model] x 2 and [model, ffn].
enum class Activation { kSilu, kGelu, kGeluTanh, kRelu };
ValueId activate(Builder& b, ValueId x, Activation activation);
struct GatedMlpWeights {
  ValueId gate, up, down;
  ValueId gate_bias = ir::kNoValue, up_bias = ir::kNoValue, down_bias = ir::kNoValue;
};
ValueId gated_mlp(Builder& b, ValueId x, const GatedMlpWeights& w, Activation activation);

// How attention finds its keys.
struct AttentionContext {
  // Training: every row of the batch is one sequence. pos i32[seq]. With segments i32[batch, seq], a row
  // holds several, and a token sees those of its own segment; pos may then be i32[batch, seq].
  ValueId pos = ir::kNoValue, segments = ir::kNoValue;
  // Serving: keys live in paged pools; one flat token axis. All i32: slot[tokens], seq[tokens], table[seqs,
  // seq_blocks].
  bool paged = false;
  ValueId slot = ir::kNoValue, seq = ir::kNoValue, table = ir::kNoValue;
  int64_t blocks = 0, block = 0;   // size of each layer's pools
  DType cache_dtype = DType::f32;  // i8: rows of ops/kv_row.h
  int64_t window = 0;              // 0: unlimited
  double softcap = 0;              // 0: none
};

// q [lead..., kv_heads, group, head_dim], k and v [lead..., kv_heads, head_dim] -> [lead..., kv_heads, group,
// head_dim]. When paged, declares and updates the states "<cache>.k" and "<cache>.v".
ValueId attend(Builder& b, const AttentionContext& context, ValueId q, ValueId k, ValueId v, double scale,
               const std::string& cache);

}  // namespace hoist::nn
