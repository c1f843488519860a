// GPT-2: learned positions, layer norm with bias, pre-norm blocks, GELU. Radford et al., "Language models are
// unsupervised multitask learners", 2019. Hugging Face stores its linear weights as [in, out] and joins q, k,
// v along out; here they are three parameters, so that heads are an axis.
#include <cmath>

#include "models/family.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/layer_norm.h"

namespace hoist::models {

namespace {

using io::ModelConfig;
using ir::ValueId;

std::string layer_name(int64_t i) { return "transformer.h." + std::to_string(i) + "."; }

std::vector<Parameter> family_parameters(const ModelConfig& c, DType dtype, DType norms) {
  const Init normal{Init::Kind::kNormal, c.initializer_range}, ones{Init::Kind::kOnes},
      zeros{Init::Kind::kZeros};
  const Init residual{Init::Kind::kNormal,
                      c.initializer_range / std::sqrt(2.0 * static_cast<double>(c.layers))};
  const ir::Dim model{"model", c.hidden}, ffn{"ffn", c.intermediate}, heads{"kv_heads", c.heads},
      per{"group", 1}, head_dim{"head_dim", c.head_dim};
  const int64_t h = c.hidden;
  std::vector<Parameter> out;
  auto norm = [&](const std::string& name) {
    out.push_back(parameter(name + ".weight", norms, {model}, {h}, ones));
    out.push_back(parameter(name + ".bias", norms, {model}, {h}, zeros, true));
  };
  out.push_back(
      parameter("transformer.wte.weight", dtype, {{"vocab", c.vocab}, model}, {c.vocab, h}, normal));
  out.push_back(parameter("transformer.wpe.weight", dtype, {{"positions", c.max_position}, model},
                          {c.max_position, h}, normal));
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string l = layer_name(i);
    norm(l + "ln_1");
    int64_t offset = 0;
    for (const char* part : {"q", "k", "v"}) {
      ir::Dims matrix{model, heads}, vector{heads};
      if (part[0] == 'q') {
        matrix.push_back(per);
        vector.push_back(per);
      }
      matrix.push_back(head_dim);
      vector.push_back(head_dim);
      Parameter w = parameter(l + "attn.c_attn." + part + ".weight", dtype, matrix, {h, 3 * h}, normal);
      Parameter b = parameter(l + "attn.c_attn." + part + ".bias", norms, vector, {3 * h}, zeros, true);
      w.tensor = l + "attn.c_attn.weight";
      b.tensor = l + "attn.c_attn.bias";
      w.whole = b.whole = false;
      w.offset = b.offset = offset;
      offset += h;
      out.push_back(w);
      out.push_back(b);
    }
    out.push_back(
        parameter(l + "attn.c_proj.weight", dtype, {heads, per, head_dim, model}, {h, h}, residual));
    out.push_back(parameter(l + "attn.c_proj.bias", norms, {model}, {h}, zeros, true));
    norm(l + "ln_2");
    out.push_back(parameter(l + "mlp.c_fc.weight", dtype, {model, ffn}, {h, c.intermediate}, normal));
    out.push_back(parameter(l + "mlp.c_fc.bias", norms, {ffn}, {c.intermediate}, zeros, true));
    out.push_back(parameter(l + "mlp.c_proj.weight", dtype, {ffn, model}, {c.intermediate, h}, residual));
    out.push_back(parameter(l + "mlp.c_proj.bias", norms, {model}, {h}, zeros, true));
  }
  norm("transformer.ln_f");
  return out;
}

ValueId norm(const Forward& f, ValueId x, const std::string& name) {
  return ops::layer_norm(f.b, x, f.weights[name + ".weight"], f.weights[name + ".bias"], "model",
                         f.config.norm_eps)
      .y;
}

ValueId blocks(const Forward& f) {
  ir::Builder& b = f.b;
  const ModelConfig& c = f.config;
  auto linear = [&](ValueId x, const std::string& name) {
    return nn::linear(b, x, f.weights[name + ".weight"], f.weights[name + ".bias"]);
  };
  ValueId x;
  {
    ir::ScopeGuard scope(b, "embed");
    ValueId token = ops::embedding(b, f.weights["transformer.wte.weight"], f.ids, "vocab");
    ValueId place = ops::embedding(b, f.weights["transformer.wpe.weight"], f.positions, "positions");
    x = ops::add(b, ops::cast(b, token, f.activations), ops::cast(b, place, f.activations));
  }
  const double scale = c.scale_attention ? 1.0 / std::sqrt(static_cast<double>(c.head_dim)) : 1.0;
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string l = layer_name(i);
    ir::ScopeGuard layer(b, "layers." + std::to_string(i));
    {
      ir::ScopeGuard scope(b, "attn");
      ValueId h = norm(f, x, l + "ln_1");
      ValueId q = linear(h, l + "attn.c_attn.q"), k = linear(h, l + "attn.c_attn.k"),
              v = linear(h, l + "attn.c_attn.v");
      ValueId o = nn::attend(b, f.attention, q, k, v, scale, "cache." + std::to_string(i));
      x = ops::add(b, x, linear(o, l + "attn.c_proj"));
    }
    ir::ScopeGuard scope(b, "mlp");
    ValueId h = nn::activate(b, linear(norm(f, x, l + "ln_2"), l + "mlp.c_fc"), activation(c.activation));
    x = ops::add(b, x, linear(h, l + "mlp.c_proj"));
  }
  return x;
}

ValueId final_norm(const Forward& f, ValueId x) {
  ir::ScopeGuard scope(f.b, "norm");
  return norm(f, x, "transformer.ln_f");
}

}  // namespace

const FamilyDef& gpt2_family() {
  static const FamilyDef def{family_parameters, blocks, final_norm, "lm_head.weight",
                             "transformer.wte.weight"};
  return def;
}

}  // namespace hoist::models
