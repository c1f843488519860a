// The Llama family: Llama 2 and 3, Qwen2 (bias on q, k, v) and Qwen3 (RMS norm of q and k per head). Pre-norm
// blocks of rotary grouped-query attention and a gated MLP. Touvron et al., "Llama 2", 2023; names as in
// Hugging Face files.
#include <cmath>

#include "models/family.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"

namespace hoist::models {

namespace {

using io::ModelConfig;
using ir::ValueId;

std::string layer_name(int64_t i) { return "model.layers." + std::to_string(i) + "."; }

std::vector<Parameter> family_parameters(const ModelConfig& c, DType dtype, DType norms) {
  const Init normal{Init::Kind::kNormal, c.initializer_range}, ones{Init::Kind::kOnes},
      zeros{Init::Kind::kZeros};
  const Init residual{Init::Kind::kNormal,
                      c.initializer_range / std::sqrt(2.0 * static_cast<double>(c.layers))};
  const int64_t group = c.heads / c.kv_heads, q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const ir::Dim model{"model", c.hidden}, ffn{"ffn", c.intermediate}, heads{"kv_heads", c.kv_heads},
      per{"group", group}, head_dim{"head_dim", c.head_dim};
  std::vector<Parameter> out;
  out.push_back(parameter("model.embed_tokens.weight", dtype, {{"vocab", c.vocab}, model},
                          {c.vocab, c.hidden}, normal));
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string l = layer_name(i), a = l + "self_attn.", m = l + "mlp.";
    out.push_back(parameter(l + "input_layernorm.weight", norms, {model}, {c.hidden}, ones));
    out.push_back(
        parameter(a + "q_proj.weight", dtype, {heads, per, head_dim, model}, {q, c.hidden}, normal));
    out.push_back(parameter(a + "k_proj.weight", dtype, {heads, head_dim, model}, {kv, c.hidden}, normal));
    out.push_back(parameter(a + "v_proj.weight", dtype, {heads, head_dim, model}, {kv, c.hidden}, normal));
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
    out.push_back(parameter(l + "post_attention_layernorm.weight", norms, {model}, {c.hidden}, ones));
    out.push_back(parameter(m + "gate_proj.weight", dtype, {ffn, model}, {c.intermediate, c.hidden}, normal));
    out.push_back(parameter(m + "up_proj.weight", dtype, {ffn, model}, {c.intermediate, c.hidden}, normal));
    out.push_back(
        parameter(m + "down_proj.weight", dtype, {model, ffn}, {c.hidden, c.intermediate}, residual));
    if (c.mlp_bias) {
      out.push_back(parameter(m + "gate_proj.bias", norms, {ffn}, {c.intermediate}, zeros, true));
      out.push_back(parameter(m + "up_proj.bias", norms, {ffn}, {c.intermediate}, zeros, true));
      out.push_back(parameter(m + "down_proj.bias", norms, {model}, {c.hidden}, zeros, true));
    }
  }
  out.push_back(parameter("model.norm.weight", norms, {model}, {c.hidden}, ones));
  return out;
}

ValueId rope_table(ir::Builder& b, const ModelConfig& c) {
  ops::RopeFrequenciesAttrs r;
  r.dim = c.head_dim;
  r.theta = c.rope.theta;
  if (c.rope.type == io::RopeConfig::Type::kLinear) r.scaling = "linear";
  if (c.rope.type == io::RopeConfig::Type::kLlama3) r.scaling = "llama3";
  r.factor = c.rope.factor;
  r.low = c.rope.low_freq_factor;
  r.high = c.rope.high_freq_factor;
  r.original = static_cast<double>(c.rope.original_max_position);
  return ops::rope_frequencies(b, r);
}

ValueId attention_block(const Forward& f, const std::string& l, int64_t layer, ValueId x, ValueId freqs) {
  ir::Builder& b = f.b;
  const ModelConfig& c = f.config;
  const std::string a = l + "self_attn.";
  auto project = [&](const char* name) {
    return nn::linear(b, x, f.weights[a + name + ".weight"], f.weights.maybe(a + name + ".bias"));
  };
  ValueId q = project("q_proj"), k = project("k_proj"), v = project("v_proj");
  if (c.qk_norm) {
    q = ops::rms_norm(b, q, f.weights[a + "q_norm.weight"], "head_dim", c.norm_eps).y;
    k = ops::rms_norm(b, k, f.weights[a + "k_norm.weight"], "head_dim", c.norm_eps).y;
  }
  q = ops::rope(b, q, f.positions, freqs, "head_dim");
  k = ops::rope(b, k, f.positions, freqs, "head_dim");
  double scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim));
  ValueId o = nn::attend(b, f.attention, q, k, v, scale, "cache." + std::to_string(layer));
  return nn::linear(b, o, f.weights[a + "o_proj.weight"], f.weights.maybe(a + "o_proj.bias"));
}

ValueId blocks(const Forward& f) {
  ir::Builder& b = f.b;
  const ModelConfig& c = f.config;
  ValueId x, freqs;
  {
    ir::ScopeGuard scope(b, "embed");
    x = ops::cast(b, ops::embedding(b, f.weights["model.embed_tokens.weight"], f.ids, "vocab"),
                  f.activations);
    freqs = rope_table(b, c);
  }
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string l = layer_name(i), m = l + "mlp.";
    ir::ScopeGuard layer(b, "layers." + std::to_string(i));
    {
      ir::ScopeGuard scope(b, "attn");
      ValueId h = ops::rms_norm(b, x, f.weights[l + "input_layernorm.weight"], "model", c.norm_eps).y;
      x = ops::add(b, x, attention_block(f, l, i, h, freqs));
    }
    ir::ScopeGuard scope(b, "mlp");
    ValueId h = ops::rms_norm(b, x, f.weights[l + "post_attention_layernorm.weight"], "model", c.norm_eps).y;
    nn::GatedMlpWeights w{f.weights[m + "gate_proj.weight"],   f.weights[m + "up_proj.weight"],
                          f.weights[m + "down_proj.weight"],   f.weights.maybe(m + "gate_proj.bias"),
                          f.weights.maybe(m + "up_proj.bias"), f.weights.maybe(m + "down_proj.bias")};
    x = ops::add(b, x, nn::gated_mlp(b, h, w, activation(c.activation)));
  }
  return x;
}

ValueId final_norm(const Forward& f, ValueId x) {
  ir::ScopeGuard scope(f.b, "norm");
  return ops::rms_norm(f.b, x, f.weights["model.norm.weight"], "model", f.config.norm_eps).y;
}

}  // namespace

const FamilyDef& llama_family() {
  static const FamilyDef def{family_parameters, blocks, final_norm, "lm_head.weight",
                             "model.embed_tokens.weight"};
  return def;
}

}  // namespace hoist::models
