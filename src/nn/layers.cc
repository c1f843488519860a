#include "nn/layers.h"

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/contract.h"
#include "ops/elementwise.h"
#include "ops/kv_row.h"
#include "ops/paged.h"
#include "ops/shape.h"
#include "ops/swiglu.h"

namespace hoist::nn {

ValueId linear(Builder& b, ValueId x, ValueId w, ValueId bias) {
  const ir::Type xt = b.type(x), wt = b.type(w);
  AxisList out;
  for (const ir::Dim& d : xt.dims)
    if (!wt.has(d.axis)) out.push_back(d.axis);
  for (const ir::Dim& d : wt.dims)
    if (!xt.has(d.axis)) out.push_back(d.axis);
  ValueId y = ops::contract(b, x, w, out, xt.dtype);
  return bias == ir::kNoValue ? y : ops::add(b, y, ops::cast(b, bias, xt.dtype));
}

ValueId activate(Builder& b, ValueId x, Activation activation) {
  switch (activation) {
    case Activation::kSilu: return ops::silu(b, x);
    case Activation::kGelu: return ops::gelu_erf(b, x);
    case Activation::kGeluTanh: return ops::gelu_tanh(b, x);
    case Activation::kRelu: return ops::relu(b, x);
  }
  return x;
}

ValueId gated_mlp(Builder& b, ValueId x, const GatedMlpWeights& w, Activation activation) {
  ValueId gate = linear(b, x, w.gate, w.gate_bias), up = linear(b, x, w.up, w.up_bias);
  ValueId h = activation == Activation::kSilu ? ops::swiglu(b, gate, up)
                                              : ops::mul(b, activate(b, gate, activation), up);
  return linear(b, h, w.down, w.down_bias);
}

ValueId attend(Builder& b, const AttentionContext& c, ValueId q, ValueId k, ValueId v, double scale,
               const std::string& cache) {
  if (!c.paged) {
    // Keys get an axis name of their own: the same tokens in another role.
    ops::AttentionAttrs attrs;
    attrs.causal = true;
    attrs.window = c.window;
    attrs.scale = scale;
    attrs.softcap = c.softcap;
    AxisList seq{"seq"}, keys{"keys"};
    ops::AttentionOperands in{q, ops::rename(b, k, seq, keys), ops::rename(b, v, seq, keys), c.pos,
                              ops::rename(b, c.pos, seq, keys)};
    if (c.segments != ir::kNoValue) {
      in.q_seg = c.segments;
      in.k_seg = ops::rename(b, c.segments, seq, keys);
    }
    return ops::attention(b, in, attrs).o;
  }
  auto pool = [&](ValueId x, const char* suffix) {
    const ir::Type t = b.type(x);
    const ir::Dim row =
        c.cache_dtype == DType::i8 ? ir::Dim{"kv_row", t.dims[2].size + ops::kKvScaleBytes} : t.dims[2];
    ir::Type type(c.cache_dtype, {{"blocks", c.blocks}, {"block", c.block}, t.dims[1], row});
    std::string name = cache + suffix;
    ValueId state = b.state(name, type, ir::Role::kCache);
    ValueId written = ops::kv_write(b, state, x, c.slot);
    b.update(name, written);
    return written;
  };
  ValueId k_pool = pool(k, ".k"), v_pool = pool(v, ".v");
  ops::PagedAttentionAttrs attrs;
  attrs.scale = scale;
  attrs.window = c.window;
  attrs.softcap = c.softcap;
  return ops::paged_attention(b, {q, k_pool, v_pool, c.table, c.seq, c.pos}, attrs);
}

}  // namespace hoist::nn
