#include "kernels/cases.h"

#include <algorithm>
#include <cmath>

#include "ops/activation.h"
#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/block_states.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/layer_norm.h"
#include "ops/optimizers.h"
#include "ops/paged.h"
#include "ops/reduce.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/softmax.h"
#include "ops/swiglu.h"

namespace hoist::kernels {

using ir::Attrs;
using ir::Type;

namespace {

Attrs none() { return Attrs::of(ir::NoAttrs{}); }

Tensor ids(const ir::Dims& dims, std::vector<int> values) {
  Tensor t(Type(DType::i32, dims));
  for (size_t i = 0; i < values.size(); ++i) t.set(static_cast<int64_t>(i), values[i]);
  return t;
}

Tensor filled(const Type& type, double x) {
  Tensor t(type);
  for (int64_t i = 0; i < t.elements(); ++i) t.set(i, x);
  return t;
}

Tensor positive(const Type& type, uint64_t seed) {
  Tensor t = random_tensor(type, seed);
  for (int64_t i = 0; i < t.elements(); ++i) t.set(i, std::abs(t.get(i)) + 0.1);
  return t;
}

void elementwise(DType d, std::vector<Case>& out) {
  Type m(d, {{"a", 7}, {"b", 9}, {"c", 37}}), row(d, {{"c", 37}}), column(d, {{"a", 7}, {"b", 9}}),
      middle(d, {{"b", 9}}), scalar(d, {});
  for (const ir::OpDef* op : {&ops::kNeg, &ops::kExp, &ops::kSqrt, &ops::kRsqrt, &ops::kReciprocal,
                              &ops::kSquare, &ops::kTanh, &ops::kErf, &ops::kSigmoid, &ops::kRelu,
                              &ops::kIsFinite, &ops::kSilu, &ops::kGeluTanh, &ops::kGeluErf}) {
    bool roots = op == &ops::kSqrt || op == &ops::kRsqrt || op == &ops::kReciprocal;
    out.push_back({std::string(op->name), {op, none(), {roots ? positive(m, 3) : random_tensor(m, 3)}}});
  }
  out.push_back({"affine", {&ops::kAffine, Attrs::of(ops::AffineAttrs{-1.5, 0.25}), {random_tensor(m, 3)}}});
  for (DType to : {DType::f32, DType::bf16, DType::f16})
    if (to != d) out.push_back({"cast", {&ops::kCast, Attrs::of(ops::CastAttrs{to}), {random_tensor(m, 3)}}});
  for (const ir::OpDef* op : {&ops::kAdd, &ops::kSub, &ops::kMul, &ops::kDiv, &ops::kMaximum, &ops::kMinimum,
                              &ops::kGreaterEqual}) {
    std::string n(op->name);
    out.push_back({n, {op, none(), {random_tensor(m, 1), positive(m, 2)}}});
    out.push_back({n + " row", {op, none(), {random_tensor(m, 1), positive(row, 2)}}});
    out.push_back({n + " by column", {op, none(), {random_tensor(column, 1), positive(m, 2)}}, false});
    out.push_back({n + " middle", {op, none(), {random_tensor(m, 1), positive(middle, 2)}}});
    out.push_back({n + " scalar", {op, none(), {random_tensor(m, 1), positive(scalar, 2)}}});
  }
  out.push_back(
      {"select", {&ops::kSelect, none(), {Tensor(m), random_tensor(m, 1), random_tensor(m, 2)}}, false});
  for (int64_t i = 0; i < m.elements(); i += 3) out.back().call.operands[0].set(i, 1);
  for (const Type& t : {row, column, middle, scalar})
    out.push_back(
        {"broadcast_like", {&ops::kBroadcastLike, none(), {random_tensor(t, 1), Tensor(m)}}, false});
  for (const AxisList& axes : {AxisList{"a"}, AxisList{"b"}, AxisList{"c"}, AxisList{"a", "b"},
                               AxisList{"b", "c"}, AxisList{"a", "b", "c"}})
    out.push_back(
        {"reduce_sum", {&ops::kReduceSum, Attrs::of(ops::ReduceAttrs{axes}), {random_tensor(m, 1)}}, false});
  out.push_back(
      {"reduce_sum long",
       {&ops::kReduceSum, Attrs::of(ops::ReduceAttrs{{"n"}}), {random_tensor(Type(d, {{"n", 30011}}), 1)}},
       false});
  out.push_back({"reduce_sum tall",
                 {&ops::kReduceSum,
                  Attrs::of(ops::ReduceAttrs{{"n"}}),
                  {random_tensor(Type(d, {{"n", 301}, {"c", 21}}), 1)}},
                 false});
  for (const ir::OpDef* op : {&ops::kSiluGrad, &ops::kGeluTanhGrad, &ops::kGeluErfGrad, &ops::kSwiglu})
    out.push_back({std::string(op->name), {op, none(), {random_tensor(m, 3), random_tensor(m, 4)}}});
  out.push_back(
      {"swiglu_grad",
       {&ops::kSwigluGrad, none(), {random_tensor(m, 3), random_tensor(m, 4), random_tensor(m, 5)}}});
}

void rows(DType d, std::vector<Case>& out) {
  for (int64_t n : {1, 13, 128, 197}) {
    Type x(d, {{"tokens", 71}, {"n", n}}), g(d, {{"n", n}}), stat(DType::f32, {{"tokens", 71}});
    std::string tail = " " + std::to_string(n);
    out.push_back(
        {"rms_norm" + tail,
         {&ops::kRmsNorm, Attrs::of(ops::RmsNormAttrs{"n", 1e-5}), {random_tensor(x, 1), positive(g, 2)}}});
    out.push_back({"rms_norm_grad" + tail,
                   {&ops::kRmsNormGrad,
                    Attrs::of(ops::RmsNormGradAttrs{"n"}),
                    {random_tensor(x, 1), positive(g, 2), positive(stat, 3), random_tensor(x, 4)}},
                   false});
    out.push_back({"rms_norm less one" + tail,
                   {&ops::kRmsNorm,
                    Attrs::of(ops::RmsNormAttrs{"n", 1e-5, true}),
                    {random_tensor(x, 1), random_tensor(g, 2)}}});
    out.push_back({"rms_norm_grad less one" + tail,
                   {&ops::kRmsNormGrad,
                    Attrs::of(ops::RmsNormGradAttrs{"n", true}),
                    {random_tensor(x, 1), random_tensor(g, 2), positive(stat, 3), random_tensor(x, 4)}},
                   false});
    out.push_back({"layer_norm" + tail,
                   {&ops::kLayerNorm,
                    Attrs::of(ops::LayerNormAttrs{"n", 1e-2}),
                    {random_tensor(x, 1), positive(g, 2), random_tensor(g, 3)}}});
    out.push_back({"layer_norm_grad" + tail,
                   {&ops::kLayerNormGrad,
                    Attrs::of(ops::LayerNormGradAttrs{"n"}),
                    {random_tensor(x, 1), positive(g, 2), random_tensor(stat, 3), positive(stat, 4),
                     random_tensor(x, 5)}},
                   false});
    out.push_back(
        {"softmax" + tail, {&ops::kSoftmax, Attrs::of(ops::SoftmaxAttrs{"n"}), {random_tensor(x, 1)}}});
    out.push_back(
        {"softmax_grad" + tail,
         {&ops::kSoftmaxGrad, Attrs::of(ops::SoftmaxAttrs{"n"}), {positive(x, 1), random_tensor(x, 2)}}});
    out.push_back({"log_sum_exp" + tail,
                   {&ops::kLogSumExpOp, Attrs::of(ops::SoftmaxAttrs{"n"}), {random_tensor(x, 1)}}});
    Tensor targets = random_tensor(Type(DType::i32, {{"tokens", 71}}), 9, n);
    targets.set(3, -1);
    out.push_back(
        {"cross_entropy" + tail,
         {&ops::kCrossEntropy, Attrs::of(ops::CrossEntropyAttrs{"n", 0}), {random_tensor(x, 1), targets}}});
    out.push_back({"cross_entropy_grad" + tail,
                   {&ops::kCrossEntropyGrad,
                    Attrs::of(ops::CrossEntropyAttrs{"n", 0}),
                    {random_tensor(x, 1), targets, positive(stat, 3), random_tensor(stat, 4),
                     random_tensor(stat, 5)}}});
    Type table(d, {{"vocab", 17}, {"n", n}});
    Tensor picks = random_tensor(Type(DType::i32, {{"tokens", 71}}), 8, 17);
    picks.set(0, -1);
    picks.set(1, 17);
    out.push_back(
        {"embedding" + tail,
         {&ops::kEmbedding, Attrs::of(ops::EmbeddingAttrs{"vocab", 0}), {random_tensor(table, 1), picks}},
         false});
    out.push_back({"embedding_grad" + tail,
                   {&ops::kEmbeddingGrad,
                    Attrs::of(ops::EmbeddingGradAttrs{"vocab", 17, 0, DType::f32}),
                    {random_tensor(x, 1), picks}},
                   false});
    out.push_back({"sum_squares" + tail, {&ops::kSumSquares, none(), {random_tensor(x, 1)}}, false});
  }
  // Longer than softmax keeps, rising, so that the running maximum moves.
  Tensor rising = random_tensor(Type(d, {{"tokens", 3}, {"n", 5003}}), 1);
  for (int64_t i = 0; i < rising.elements(); ++i)
    rising.set(i, rising.get(i) + static_cast<double>(i % 5003) / 200);
  rising.set(5003 + 70, -INFINITY);
  out.push_back({"softmax long", {&ops::kSoftmax, Attrs::of(ops::SoftmaxAttrs{"n"}), {rising}}});
  out.push_back({"log_sum_exp long", {&ops::kLogSumExpOp, Attrs::of(ops::SoftmaxAttrs{"n"}), {rising}}});
  Tensor minus = random_tensor(Type(d, {{"tokens", 3}, {"n", 19}}), 1);
  for (int64_t i = 0; i < 19; ++i) minus.set(i, -INFINITY);
  minus.set(20, -INFINITY);
  out.push_back({"softmax of -inf", {&ops::kSoftmax, Attrs::of(ops::SoftmaxAttrs{"n"}), {minus}}});
  out.push_back({"log_sum_exp of -inf", {&ops::kLogSumExpOp, Attrs::of(ops::SoftmaxAttrs{"n"}), {minus}}});
  for (bool inverse : {false, true}) {
    Type q(d, {{"batch", 3}, {"seq", 5}, {"heads", 2}, {"c", 22}});
    Tensor freqs = positive(Type(DType::f32, {{"half", 9}}), 4);
    for (const ir::Dims& p :
         {ir::Dims{{"batch", 3}, {"seq", 5}}, ir::Dims{{"seq", 5}}, ir::Dims{{"batch", 3}}, ir::Dims{}})
      out.push_back(
          {"rope",
           {&ops::kRope,
            Attrs::of(ops::RopeAttrs{"c", 1.25, false, inverse}),
            {random_tensor(q, 1), random_tensor(Type(DType::i32, p), 2, inverse ? 100000 : 900), freqs}},
           false});
  }
}

void adamw(DType d, std::vector<Case>& out) {
  for (double ok : {1.0, 0.0})
    for (bool master : {false, true}) {
      Type p(d, {{"a", 61}, {"b", 13}}), m(DType::f32, p.dims), s(DType::f32, {});
      OpCall c{&ops::kAdamw,
               Attrs::of(ops::AdamwAttrs{0.9, 0.99, 1e-8, 0.1, master}),
               {random_tensor(p, 1), random_tensor(p, 2), random_tensor(m, 3), positive(m, 4),
                filled(s, 1e-2), filled(s, 3), filled(s, 0.5), filled(s, ok)}};
      if (master) c.operands.push_back(random_tensor(m, 1));
      out.push_back({"adamw", c, false});
    }
}

void optimizers(DType d, std::vector<Case>& out) {
  const Type p(d, {{"a", 61}, {"b", 13}}), m(DType::f32, p.dims), s(DType::f32, {});
  for (double ok : {1.0, 0.0})
    for (bool master : {false, true}) {
      auto add = [&](const char* name, const ir::OpDef& op, const Attrs& attrs,
                     std::vector<Tensor> operands) {
        if (master) operands.push_back(random_tensor(m, 1));
        out.push_back({name, {&op, attrs, std::move(operands)}, false});
      };
      const std::vector<Tensor> momentum = {random_tensor(p, 1), random_tensor(p, 2), random_tensor(m, 3),
                                            filled(s, 1e-2),     filled(s, 0.5),      filled(s, ok)};
      add("sgd", ops::kSgd, Attrs::of(ops::SgdAttrs{0.9, 0.1, false, master}), momentum);
      add("sgd nesterov", ops::kSgd, Attrs::of(ops::SgdAttrs{0.9, 0.1, true, master}), momentum);
      add("lion", ops::kLion, Attrs::of(ops::LionAttrs{0.9, 0.99, 0.1, master}), momentum);
      add("descend", ops::kDescend, Attrs::of(ops::DescendAttrs{0.1, master}),
          {random_tensor(p, 1), random_tensor(m, 2), filled(s, 0.3), filled(s, 1e-2), filled(s, ok)});
      if (master) continue;
      add("lamb_direction", ops::kLambDirection, Attrs::of(ops::LambAttrs{0.9, 0.99, 1e-6, 0.1}),
          {random_tensor(p, 1), random_tensor(p, 2), random_tensor(m, 3), positive(m, 4), filled(s, 3),
           filled(s, 0.5), filled(s, ok)});
      add("ema", ops::kEma, Attrs::of(ops::EmaAttrs{0.99}),
          {random_tensor(m, 1), random_tensor(p, 2), filled(s, ok)});
    }
}

// f32 only: every kernel finds the same nearest values, to the bit.
void block_states(std::vector<Case>& out) {
  for (int64_t cols : {7, 256, 768, 1000})
    for (bool is_signed : {true, false}) {
      const Type x(DType::f32, {{"a", 5}, {"b", cols}}),
          codes = ops::block_codes_type(x), scales = ops::block_scales_type(x), s(DType::f32, {});
      const Attrs attrs = Attrs::of(ops::BlockStateAttrs{is_signed});
      Tensor values = is_signed ? random_tensor(x, 1) : positive(x, 1);
      for (int64_t i = 0; i < values.elements(); ++i)  // over seven decades and more
        values.set(i, values.get(i) * std::pow(10.0, -static_cast<double>(i % 9)));
      for (int64_t i = 0; i < std::min<int64_t>(cols, 256); ++i) values.set(i, 0);  // a block of zeros
      const Tensor before = random_tensor(codes, 2, 256);
      for (double ok : {1.0, 0.0})
        out.push_back({"save_blocks",
                       {&ops::kSaveBlocks, attrs, {values, before, positive(scales, 3), filled(s, ok)}},
                       true});
      out.push_back({"load_blocks", {&ops::kLoadBlocks, attrs, {before, positive(scales, 3)}}, true});
    }
}

}  // namespace

OpCall attention_call(DType type, const AttentionShape& s, bool causal, int64_t window, bool segments,
                      bool shuffled, double softcap, bool sinks) {
  ops::AttentionAttrs a;
  a.q_axis = "q";
  a.k_axis = "k";
  a.causal = causal;
  a.window = window;
  a.scale = 1 / std::sqrt(static_cast<double>(s.d));
  a.softcap = softcap;
  a.has_segments = segments;
  a.has_sinks = sinks;
  OpCall c{&ops::kAttention, Attrs::of(a), {}};
  c.operands.push_back(random_tensor(
      Type(type, {{"batch", s.batch}, {"q", s.queries}, {"h", s.heads}, {"g", s.group}, {"d", s.d}}), 1));
  c.operands.push_back(
      random_tensor(Type(type, {{"batch", s.batch}, {"k", s.keys}, {"h", s.heads}, {"d", s.d}}), 2));
  c.operands.push_back(
      random_tensor(Type(type, {{"batch", s.batch}, {"k", s.keys}, {"h", s.heads}, {"e", s.dv}}), 3));
  std::vector<int> q_pos, k_pos, q_seg, k_seg;
  for (int64_t i = 0; i < s.queries; ++i) q_pos.push_back(static_cast<int>(i + s.keys - s.queries));
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t i = 0; i < s.keys; ++i) {
      k_pos.push_back(static_cast<int>(shuffled ? (i * 7 + b) % s.keys : i));
      k_seg.push_back(static_cast<int>(i * 3 / s.keys));
    }
  for (int64_t i = 0; i < s.queries; ++i) q_seg.push_back(static_cast<int>(i * 3 / s.queries));
  c.operands.push_back(ids({{"q", s.queries}}, q_pos));
  c.operands.push_back(ids({{"batch", s.batch}, {"k", s.keys}}, k_pos));
  if (segments) {
    c.operands.push_back(ids({{"q", s.queries}}, q_seg));
    c.operands.push_back(ids({{"batch", s.batch}, {"k", s.keys}}, k_seg));
  }
  if (sinks) c.operands.push_back(random_tensor(Type(type, {{"h", s.heads}, {"g", s.group}}), 6));
  return c;
}

OpCall attention_grad_call(const OpCall& forward, bool has_dlse) {
  OpRunner r(forward, ref_table(), 1);
  r.run();
  ops::AttentionAttrs a = forward.attrs.as<ops::AttentionAttrs>();
  a.has_dlse = has_dlse;
  OpCall c{&ops::kAttentionGrad, Attrs::of(a), forward.operands};
  c.operands.push_back(r.results()[0]);
  c.operands.push_back(r.results()[1]);
  c.operands.push_back(random_tensor(r.results()[0].type, 7));
  if (has_dlse) c.operands.push_back(random_tensor(r.results()[1].type, 8));
  return c;
}

OpCall paged_call(DType q_type, DType pool_type, const std::vector<int>& seq, const std::vector<int>& pos,
                  int64_t heads, int64_t group, int64_t d, int64_t dv, int64_t block, int64_t window,
                  double softcap, bool sinks, double stale) {
  const int64_t tokens = static_cast<int64_t>(seq.size());
  int64_t seqs = 1, longest = 1;
  for (size_t i = 0; i < seq.size(); ++i) {
    seqs = std::max<int64_t>(seqs, seq[i] + 1);
    longest = std::max<int64_t>(longest, pos[i] + 1);
  }
  const int64_t seq_blocks = (longest + block - 1) / block + 1, blocks = seqs * seq_blocks;
  ops::PagedAttentionAttrs a;
  a.scale = 1 / std::sqrt(static_cast<double>(d));
  a.softcap = softcap;
  a.window = window;
  a.has_sinks = sinks;
  OpCall c{&ops::kPagedAttention, Attrs::of(a), {}};
  // What a token or key holds depends on its place in its sequence only, so that batches can be compared.
  Tensor q(Type(q_type, {{"tokens", tokens, true}, {"h", heads}, {"g", group}, {"d", d}}));
  for (int64_t i = 0; i < tokens; ++i) {
    Tensor one = random_tensor(Type(q_type, {{"n", heads * group * d}}),
                               static_cast<uint64_t>(seq[static_cast<size_t>(i)] + 1) * 10007 +
                                   static_cast<uint64_t>(pos[static_cast<size_t>(i)]));
    for (int64_t j = 0; j < one.elements(); ++j) q.set(i * one.elements() + j, one.get(j));
  }
  c.operands.push_back(q);
  std::vector<int> table;
  for (int64_t i = 0; i < blocks; ++i) table.push_back(static_cast<int>((i * 5 + 3) % blocks));
  if (blocks % 5 == 0)
    for (int64_t i = 0; i < blocks; ++i) table[static_cast<size_t>(i)] = static_cast<int>(blocks - 1 - i);
  if (pool_type == DType::i8) {  // rows of bytes with small scales; values are as wide as keys
    for (int i = 0; i < 2; ++i) {
      Tensor pool = random_tensor(
          Type(pool_type, {{"blocks", blocks}, {"block", block}, {"h", heads}, {"row", d + 2}}), 90 + i, 100);
      for (int64_t r = 0; r < blocks * block * heads; ++r) {
        for (int64_t j = 0; j < d; j += 3) pool.set(r * (d + 2) + j, -pool.get(r * (d + 2) + j));
        pool.set(r * (d + 2) + d + 1, -6);
      }
      c.operands.push_back(pool);
    }
  }
  for (int64_t width : {d, dv}) {
    if (pool_type == DType::i8) break;
    Tensor pool = filled(Type(pool_type, {{"blocks", blocks},
                                          {"block", block},
                                          {"h", heads},
                                          {width == d && c.operands.size() == 1 ? "d" : "e", width}}),
                         stale);
    for (int64_t s = 0; s < seqs; ++s) {
      int64_t length = 0;
      for (size_t i = 0; i < seq.size(); ++i)
        if (seq[i] == s) length = std::max<int64_t>(length, pos[i] + 1);
      for (int64_t p = 0; p < length; ++p) {
        Tensor one = random_tensor(Type(pool_type, {{"n", heads * width}}),
                                   static_cast<uint64_t>(s * 7919 + p) * 2 + c.operands.size() + 50);
        int64_t slot = table[static_cast<size_t>(s * seq_blocks + p / block)] * block + p % block;
        for (int64_t j = 0; j < heads * width; ++j) pool.set(slot * heads * width + j, one.get(j));
      }
    }
    c.operands.push_back(pool);
  }
  c.operands.push_back(ids({{"seqs", seqs, true}, {"seq_blocks", seq_blocks}}, table));
  c.operands.push_back(ids({{"tokens", tokens, true}}, seq));
  c.operands.push_back(ids({{"tokens", tokens, true}}, pos));
  if (sinks) c.operands.push_back(random_tensor(Type(q_type, {{"h", heads}, {"g", group}}), 6));
  return c;
}

std::vector<Case> fused_cases(DType d) {
  std::vector<Case> out;
  elementwise(d, out);
  rows(d, out);
  adamw(d, out);
  optimizers(d, out);
  if (d == DType::f32) block_states(out);
  for (const AttentionShape& s :
       {AttentionShape{2, 9, 9, 2, 2, 8, 8}, AttentionShape{1, 70, 150, 2, 3, 20, 36},
        AttentionShape{1, 1, 65, 1, 1, 64, 64}})
    for (int mode = 0; mode < 6; ++mode) {
      OpCall c = attention_call(d, s, mode != 0, mode == 2 ? 5 : 0, mode == 3, mode == 4);
      out.push_back({"attention mode " + std::to_string(mode), c, false});
      out.push_back(
          {"attention_grad mode " + std::to_string(mode), attention_grad_call(c, mode == 5), false});
    }
  out.push_back(
      {"attention_grad softcap",
       attention_grad_call(attention_call(d, {1, 20, 90, 2, 2, 16, 16}, true, 7, false, false, 3.0), true),
       false});
  out.push_back({"attention softcap, sinks",
                 attention_call(d, {1, 20, 90, 2, 2, 16, 16}, true, 0, false, false, 3.0, true), false});
  std::vector<int> seq, pos;
  for (int i = 0; i < 150; ++i) seq.push_back(0), pos.push_back(i);
  for (int i = 0; i < 9; ++i) seq.push_back(1), pos.push_back(200 + i);
  seq.push_back(-1), pos.push_back(0);
  seq.push_back(2), pos.push_back(77);
  for (DType pool : {d, DType::bf16})
    for (int64_t window : {0, 50})
      out.push_back({"paged_attention",
                     paged_call(d, pool, seq, pos, 2, 3, 20, 36, 16, window, 0, false, 1e30), false});
  // Long prompts and single tokens: parts of keys, packs of heads.
  std::vector<int> far_seq{0, 0, 1, 2, 2}, far_pos{600, 601, 1100, 5, 6};
  for (DType pool : {d, DType::bf16, DType::i8})
    for (int64_t group : {1, 2, 8})
      out.push_back({"paged_attention far",
                     paged_call(d, pool, far_seq, far_pos, 3, group, 16, 40, 16, 0, group == 2 ? 4 : 0,
                                group == 1, 1e30),
                     false});
  out.push_back({"paged_attention softcap, sinks",
                 paged_call(d, d, seq, pos, 1, 1, 64, 64, 7, 0, 2.0, true, 1e30), false});
  Tensor slots = random_tensor(Type(DType::i32, {{"tokens", 11}}), 4, 40);
  slots.set(2, -1);
  slots.set(5, 40);
  out.push_back({"kv_write",
                 {&ops::kKvWrite,
                  Attrs::of(ops::KvWriteAttrs{}),
                  {random_tensor(Type(DType::bf16, {{"blocks", 5}, {"block", 8}, {"h", 2}, {"d", 19}}), 1),
                   random_tensor(Type(d, {{"tokens", 11}, {"h", 2}, {"d", 19}}), 2), slots}},
                 false});
  Tensor wild = random_tensor(Type(d, {{"tokens", 11}, {"h", 2}, {"d", 19}}), 2);
  for (int i = 0; i < 19; ++i) wild.set(19 + i, 0);
  wild.set(50, NAN);
  wild.set(80, INFINITY);
  out.push_back({"kv_write int8",
                 {&ops::kKvWrite,
                  Attrs::of(ops::KvWriteAttrs{}),
                  {random_tensor(Type(DType::i8, {{"blocks", 5}, {"block", 8}, {"h", 2}, {"row", 21}}), 1, 9),
                   wild, slots}},
                 false});
  return out;
}

}  // namespace hoist::kernels
