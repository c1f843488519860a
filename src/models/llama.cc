// The Llama family and those of its shape: Llama 2 and 3, Mistral (sliding window), SmolLM3 (layers without
// rope), Qwen2 (bias on q, k, v), Qwen3 (RMS norm of q and k per head), Phi-3 (joined projections, rope over
// a part of a head), Gemma 2 and 3 (norms around both branches, soft caps), and mixtures of experts with
// either attention (moe.cc). Pre-norm blocks of rotary grouped-query attention and a gated MLP. Touvron et
// al., "Llama 2", 2023; Gemma Team, "Gemma 2", 2024, and "Gemma 3", 2025; Abdin et al., "Phi-3", 2024. Names
// as in Hugging Face files.
#include <cmath>

#include "models/family.h"
#include "models/rope.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"

namespace hoist::models {

namespace {

using io::ModelConfig;
using ir::ValueId;

std::string layer_name(int64_t i) { return "model.layers." + std::to_string(i) + "."; }

// Phi-3 joins matrices along their rows: `part` becomes rows [offset, ...) of `tensor`.
void cut_from(Parameter& part, const std::string& tensor, int64_t rows, int64_t& offset) {
  part.tensor = tensor;
  part.whole = false;
  part.rows = true;
  part.offset = offset;
  offset += part.shape[0];
  part.shape[0] = rows;
}

void mlp_parameters(const ModelConfig& c, const std::string& m, DType dtype, DType norms, Init normal,
                    Init residual, std::vector<Parameter>& out) {
  const ir::Dim model{"model", c.hidden}, ffn{"ffn", c.intermediate};
  Parameter gate = parameter(m + "gate_proj.weight", dtype, {ffn, model}, {c.intermediate, c.hidden}, normal);
  Parameter up = parameter(m + "up_proj.weight", dtype, {ffn, model}, {c.intermediate, c.hidden}, normal);
  if (c.family == io::Family::kPhi3) {
    int64_t at = 0;
    for (Parameter* p : {&gate, &up}) cut_from(*p, m + "gate_up_proj.weight", 2 * c.intermediate, at);
  }
  out.push_back(gate);
  out.push_back(up);
  out.push_back(parameter(m + "down_proj.weight", dtype, {model, ffn}, {c.hidden, c.intermediate}, residual));
  if (c.mlp_bias) {
    const Init zeros{Init::Kind::kZeros};
    out.push_back(parameter(m + "gate_proj.bias", norms, {ffn}, {c.intermediate}, zeros, true));
    out.push_back(parameter(m + "up_proj.bias", norms, {ffn}, {c.intermediate}, zeros, true));
    out.push_back(parameter(m + "down_proj.bias", norms, {model}, {c.hidden}, zeros, true));
  }
}

std::vector<Parameter> family_parameters(const ModelConfig& c, DType dtype, DType norms) {
  const Init normal{Init::Kind::kNormal, c.initializer_range}, zeros{Init::Kind::kZeros};
  const Init ones{c.norm_offset() ? Init::Kind::kZeros : Init::Kind::kOnes};
  const Init residual{Init::Kind::kNormal,
                      c.initializer_range / std::sqrt(2.0 * static_cast<double>(c.layers))};
  const int64_t group = c.heads / c.kv_heads, q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const ir::Dim model{"model", c.hidden}, heads{"kv_heads", c.kv_heads}, per{"group", group},
      head_dim{"head_dim", c.head_dim};
  std::vector<Parameter> out;
  out.push_back(parameter("model.embed_tokens.weight", dtype, {{"vocab", c.vocab}, model},
                          {c.vocab, c.hidden}, normal));
  const auto norm = [&](const std::string& name) {
    out.push_back(parameter(name + ".weight", norms, {model}, {c.hidden}, ones));
  };
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string l = layer_name(i), a = l + "self_attn.";
    norm(l + "input_layernorm");
    Parameter parts[] = {
        parameter(a + "q_proj.weight", dtype, {heads, per, head_dim, model}, {q, c.hidden}, normal),
        parameter(a + "k_proj.weight", dtype, {heads, head_dim, model}, {kv, c.hidden}, normal),
        parameter(a + "v_proj.weight", dtype, {heads, head_dim, model}, {kv, c.hidden}, normal)};
    int64_t at = 0;
    for (Parameter& p : parts) {
      if (c.family == io::Family::kPhi3) cut_from(p, a + "qkv_proj.weight", q + 2 * kv, at);
      out.push_back(p);
    }
    if (c.qkv_bias) {
      out.push_back(parameter(a + "q_proj.bias", norms, {heads, per, head_dim}, {q}, zeros, true));
      out.push_back(parameter(a + "k_proj.bias", norms, {heads, head_dim}, {kv}, zeros, true));
      out.push_back(parameter(a + "v_proj.bias", norms, {heads, head_dim}, {kv}, zeros, true));
    }
    if (c.qk_norm) {
      out.push_back(parameter(a + "q_norm.weight", norms, {head_dim}, {c.head_dim}, ones));
      out.push_back(parameter(a + "k_norm.weight", norms, {head_dim}, {c.head_dim}, ones));
    }
    out.push_back(
        parameter(a + "o_proj.weight", dtype, {model, heads, per, head_dim}, {c.hidden, q}, residual));
    if (c.out_bias) out.push_back(parameter(a + "o_proj.bias", norms, {model}, {c.hidden}, zeros, true));
    norm(l + "post_attention_layernorm");
    if (c.post_norms()) {
      norm(l + "pre_feedforward_layernorm");
      norm(l + "post_feedforward_layernorm");
    }
    if (c.moe_layer(i))
      moe_parameters(c, i, dtype, out);
    else
      mlp_parameters(c, l + "mlp.", dtype, norms, normal, residual, out);
  }
  norm("model.norm");
  return out;
}

ValueId norm(const Forward& f, ValueId x, const std::string& name, const char* axis = "model") {
  const ModelConfig& c = f.config;
  return ops::rms_norm(f.b, x, f.weights[name + ".weight"], axis, c.norm_eps, c.norm_offset()).y;
}

ValueId attention_block(const Forward& f, int64_t layer, ValueId x, ValueId freqs) {
  ir::Builder& b = f.b;
  const ModelConfig& c = f.config;
  const std::string a = layer_name(layer) + "self_attn.";
  auto project = [&](const char* name) {
    return nn::linear(b, x, f.weights[a + name + ".weight"], f.weights.maybe(a + name + ".bias"));
  };
  ValueId q = project("q_proj"), k = project("k_proj"), v = project("v_proj");
  if (c.qk_norm) {
    q = norm(f, q, a + "q_norm", "head_dim");
    k = norm(f, k, a + "k_norm", "head_dim");
  }
  if (c.layer_rotates(layer)) {
    const double stretch = (c.local_layer(layer) ? c.local_rope : c.rope).attention_factor;
    q = ops::rope(b, q, f.positions, freqs, "head_dim", stretch);
    k = ops::rope(b, k, f.positions, freqs, "head_dim", stretch);
  }
  nn::AttentionContext context = f.attention;
  context.window = c.layer_window(layer);
  context.softcap = c.attention_softcap;
  const double scalar = c.attention_scalar > 0 ? c.attention_scalar : static_cast<double>(c.head_dim);
  ValueId o = nn::attend(b, context, q, k, v, 1.0 / std::sqrt(scalar), "cache." + std::to_string(layer));
  return nn::linear(b, o, f.weights[a + "o_proj.weight"], f.weights.maybe(a + "o_proj.bias"));
}

ValueId mlp(const Forward& f, const std::string& m, ValueId h) {
  nn::GatedMlpWeights w{f.weights[m + "gate_proj.weight"],   f.weights[m + "up_proj.weight"],
                        f.weights[m + "down_proj.weight"],   f.weights.maybe(m + "gate_proj.bias"),
                        f.weights.maybe(m + "up_proj.bias"), f.weights.maybe(m + "down_proj.bias")};
  return nn::gated_mlp(f.b, h, w, activation(f.config.activation));
}

ValueId blocks(const Forward& f) {
  ir::Builder& b = f.b;
  const ModelConfig& c = f.config;
  ValueId x, freqs, local = ir::kNoValue;
  {
    ir::ScopeGuard scope(b, "embed");
    x = ops::cast(b, ops::embedding(b, f.weights["model.embed_tokens.weight"], f.ids, "vocab"),
                  f.activations);
    if (c.scaled_embedding()) x = ops::affine(b, x, std::sqrt(static_cast<double>(c.hidden)));
    freqs = rope_table(b, c.rope, c.rotary_dim(), c.max_position, f.context);
    for (int64_t i = 0; i < c.layers && local == ir::kNoValue; ++i)
      if (c.local_layer(i)) local = rope_table(b, c.local_rope, c.rotary_dim(), c.max_position, f.context);
  }
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string l = layer_name(i);
    ir::ScopeGuard layer(b, "layers." + std::to_string(i));
    {
      ir::ScopeGuard scope(b, "attn");
      ValueId h = attention_block(f, i, norm(f, x, l + "input_layernorm"), c.local_layer(i) ? local : freqs);
      if (c.post_norms()) h = norm(f, h, l + "post_attention_layernorm");
      x = ops::add(b, x, h);
    }
    ir::ScopeGuard scope(b, "mlp");
    ValueId h = norm(f, x, l + (c.post_norms() ? "pre_feedforward_layernorm" : "post_attention_layernorm"));
    h = c.moe_layer(i) ? moe_mlp(f, i, h) : mlp(f, l + "mlp.", h);
    if (c.post_norms()) h = norm(f, h, l + "post_feedforward_layernorm");
    x = ops::add(b, x, h);
  }
  return x;
}

ValueId final_norm(const Forward& f, ValueId x) {
  ir::ScopeGuard scope(f.b, "norm");
  return norm(f, x, "model.norm");
}

}  // namespace

const FamilyDef& llama_family() {
  static const FamilyDef def{family_parameters, blocks, final_norm, "lm_head.weight",
                             "model.embed_tokens.weight"};
  return def;
}

}  // namespace hoist::models
