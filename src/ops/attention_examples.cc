// Examples of attention and attention_grad: one per attribute, and one with everything.
#include "ops/attention_parts.h"

namespace hoist::ops::attention_internal {

using ir::Attrs;
using ir::Dim;
using ir::Example;
using ir::ExampleOperand;
using ir::Fill;
using ir::Type;

namespace {

struct Case {
  const char* note;
  AttentionAttrs attrs;
  ir::Dims lead = {};
  int64_t q = 5, k = 7, kv_heads = 2, group = 2, head_dim = 4, v_dim = 4;
  ir::Dims bias = {};
  bool batched_positions = false;
  Fill k_pos = Fill::kRamp;
};

Example make(const Case& c, bool grad) {
  AttentionAttrs a = c.attrs;
  a.q_axis = "q", a.k_axis = "k";
  a.has_dlse &= grad;
  const Dim q{"q", c.q}, k{"k", c.k}, heads{"kv_heads", c.kv_heads}, group{"group", c.group};
  auto type = [&](DType dtype, std::initializer_list<Dim> inner, bool lead) {
    Type t(dtype, lead ? c.lead : ir::Dims{});
    for (const Dim& d : inner) t.dims.push_back(d);
    return t;
  };
  auto f32 = [&](std::initializer_list<Dim> inner) { return ExampleOperand{type(DType::f32, inner, true)}; };
  auto i32 = [&](Dim inner, Fill fill, int64_t limit) {
    return ExampleOperand{type(DType::i32, {inner}, c.batched_positions), fill, limit};
  };
  const Dim head_dim{"head_dim", c.head_dim}, v_dim{"v_dim", c.v_dim};
  Example e{c.note, Attrs::of(a), {}};
  e.operands = {f32({q, heads, group, head_dim}), f32({k, heads, head_dim}), f32({k, heads, v_dim}),
                i32(q, Fill::kRamp, 0), i32(k, c.k_pos, 12)};
  if (a.has_segments) {
    e.operands.push_back(i32(q, Fill::kIndex, 2));
    e.operands.push_back(i32(k, Fill::kIndex, 2));
  }
  if (a.has_bias) e.operands.push_back({Type(DType::f32, c.bias)});
  if (a.has_sinks) e.operands.push_back({Type(DType::f32, {heads, group})});
  if (grad) {
    for (ExampleOperand o :
         {f32({q, heads, group, v_dim}), f32({q, heads, group}), f32({q, heads, group, v_dim})})
      e.operands.push_back(o);
    if (a.has_dlse) e.operands.push_back(f32({q, heads, group}));
  }
  return e;
}

}  // namespace

std::vector<Example> attention_examples(bool grad) {
  auto attrs = [](auto set) {
    AttentionAttrs a;
    a.scale = 0.5;
    set(a);
    return a;
  };
  const Dim batch{"batch", 2}, heads{"kv_heads", 2}, group{"group", 2}, q{"q", 5}, k{"k", 7};
  std::vector<Case> cases;
  cases.push_back({"causal, grouped queries", attrs([](AttentionAttrs&) {})});
  cases.push_back(
      {"one query head per key head, batched", attrs([](AttentionAttrs& a) { a.has_dlse = true; }), {batch}});
  cases.back().group = 1;
  cases.push_back({"not causal, scale 1, unequal widths",
                   attrs([](AttentionAttrs& a) { a.causal = false, a.scale = 1; })});
  cases.back().v_dim = 3;
  cases.push_back({"soft cap", attrs([](AttentionAttrs& a) { a.softcap = 1.5; })});
  cases.push_back({"bias per head and pair", attrs([](AttentionAttrs& a) { a.has_bias = true; }), {batch}});
  cases.back().bias = {heads, group, q, k};
  cases.push_back({"bias per sequence and key",
                   attrs([](AttentionAttrs& a) { a.has_bias = true, a.causal = false; }),
                   {batch}});
  cases.back().bias = {batch, k};
  cases.push_back({"sinks", attrs([](AttentionAttrs& a) { a.has_sinks = true; }), {batch}});
  cases.push_back({"window", attrs([](AttentionAttrs& a) { a.window = 3; })});
  cases.push_back({"segments, positions per sequence",
                   attrs([](AttentionAttrs& a) { a.has_segments = true, a.causal = false; }),
                   {batch}});
  cases.back().batched_positions = true;
  cases.push_back({"everything",
                   attrs([](AttentionAttrs& a) {
                     a.window = 5, a.softcap = 2,
                     a.has_segments = a.has_bias = a.has_sinks = a.has_dlse = true;
                   }),
                   {batch}});
  cases.back().bias = {batch, group, q};
  cases.back().v_dim = 6;
  cases.back().batched_positions = true;
  cases.push_back({"rows that see no key", attrs([](AttentionAttrs&) {})});
  cases.back().k_pos = Fill::kIndex;
  std::vector<Example> out;
  for (const Case& c : cases) out.push_back(make(c, grad));
  return out;
}

}  // namespace hoist::ops::attention_internal
