#include "models/encoder.h"

#include <cmath>

#include "models/family.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/layer_norm.h"
#include "ops/shape.h"

namespace hoist::models {

namespace {

using io::EncoderConfig;
using io::EncoderFamily;
using ir::ValueId;

// What the two spellings of the layers call their parts.
struct Names {
  const char *layers, *q, *k, *v, *out, *attention_norm, *up, *down, *output_norm;
};
constexpr Names kBert = {"encoder.layer.",       "attention.self.query",   "attention.self.key",
                         "attention.self.value", "attention.output.dense", "attention.output.LayerNorm",
                         "intermediate.dense",   "output.dense",           "output.LayerNorm"};
constexpr Names kDistil = {"transformer.layer.", "attention.q_lin",   "attention.k_lin",
                           "attention.v_lin",    "attention.out_lin", "sa_layer_norm",
                           "ffn.lin1",           "ffn.lin2",          "output_layer_norm"};

const Names& names(const EncoderConfig& c) {
  return c.family == EncoderFamily::kDistilBert ? kDistil : kBert;
}

// The head: a layer of the model's width and its function, then one row per label.
struct Head {
  const char *dense, *out;
};
Head head(const EncoderConfig& c) {
  switch (c.family) {
    case EncoderFamily::kBert: return {"pooler.dense", "classifier"};
    case EncoderFamily::kRoberta: return {"classifier.dense", "classifier.out_proj"};
    case EncoderFamily::kDistilBert: return {"pre_classifier", "classifier"};
  }
  return {};
}

std::string layer_name(const EncoderConfig& c, int64_t i) {
  return names(c).layers + std::to_string(i) + ".";
}

}  // namespace

std::vector<Parameter> parameters(const EncoderConfig& c, DType dtype) {
  const Init normal{Init::Kind::kNormal, 0.02}, ones{Init::Kind::kOnes}, zeros{Init::Kind::kZeros};
  const ir::Dim model{"model", c.hidden}, ffn{"ffn", c.intermediate}, heads{"kv_heads", c.heads},
      per{"group", 1}, head_dim{"head_dim", c.head_dim()};
  const int64_t h = c.hidden;
  std::vector<Parameter> out;
  const auto norm = [&](const std::string& name) {
    out.push_back(parameter(name + ".weight", DType::f32, {model}, {h}, ones));
    out.push_back(parameter(name + ".bias", DType::f32, {model}, {h}, zeros, true));
  };
  const auto table = [&](const char* name, const char* axis, int64_t rows) {
    out.push_back(parameter(std::string("embeddings.") + name + ".weight", dtype, {{axis, rows}, model},
                            {rows, h}, normal));
  };
  // Rows of the matrix are axes of its own; `in` are those of what it is multiplied with.
  const auto linear = [&](const std::string& name, const ir::Dims& rows, const ir::Dims& in,
                          AxisList inputs) {
    ir::Dims matrix = rows;
    int64_t n = 1, k = 1;
    for (const ir::Dim& d : rows) n *= d.size;
    for (const ir::Dim& d : in) {
      matrix.push_back(d);
      k *= d.size;
    }
    Parameter w = parameter(name + ".weight", dtype, matrix, {n, k}, normal);
    w.inputs = inputs;
    out.push_back(w);
    out.push_back(parameter(name + ".bias", DType::f32, rows, {n}, zeros, true));
  };
  table("word_embeddings", "vocab", c.vocab);
  table("position_embeddings", "positions", c.positions);
  if (c.types > 0) table("token_type_embeddings", "types", c.types);
  norm("embeddings.LayerNorm");
  const Names& name = names(c);
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string l = layer_name(c, i);
    linear(l + name.q, {heads, per, head_dim}, {model}, {"model"});
    linear(l + name.k, {heads, head_dim}, {model}, {"model"});
    linear(l + name.v, {heads, head_dim}, {model}, {"model"});
    linear(l + name.out, {model}, {heads, per, head_dim}, {"kv_heads", "group", "head_dim"});
    norm(l + name.attention_norm);
    linear(l + name.up, {ffn}, {model}, {"model"});
    linear(l + name.down, {model}, {ffn}, {"ffn"});
    norm(l + name.output_norm);
  }
  if (c.classifies) {
    const ir::Dim pooled{"pooled", h};
    linear(head(c).dense, {pooled}, {model}, {"model"});
    linear(head(c).out, {{"label", static_cast<int64_t>(c.labels.size())}}, {pooled}, {"pooled"});
  }
  return out;
}

bool ignorable_tensor(const EncoderConfig& c, const std::string& name) {
  for (const char* end : {"embeddings.position_ids", "embeddings.token_type_ids"})
    if (name.ends_with(end)) return true;
  for (const char* start : {"cls.", "lm_head.", "vocab_projector.", "vocab_transform.", "vocab_layer_norm."})
    if (name.starts_with(start)) return true;
  return name.starts_with("pooler.") && !(c.classifies && c.family == EncoderFamily::kBert);
}

ir::Graph encoder_graph(const EncoderConfig& c, const EncoderShape& shape,
                        const std::vector<Parameter>& list) {
  ir::Graph g;
  g.name = "encode";
  ir::Builder b(g);
  const ir::Type tokens(DType::i32, {{"tokens", shape.tokens, true}});
  const ValueId ids = b.input("ids", tokens), positions = b.input("positions", tokens),
                segments = b.input("segments", tokens);
  const ValueId types = c.types > 0 ? b.input("types", tokens) : ir::kNoValue;
  const ValueId first =
      c.classifies ? b.input("first", ir::Type(DType::i32, {{"seqs", shape.seqs, true}})) : ir::kNoValue;
  const Weights weights(b, list, false, false);
  const auto norm = [&](ValueId x, const std::string& name) {
    return ops::layer_norm(b, x, weights[name + ".weight"], weights[name + ".bias"], "model", c.norm_eps).y;
  };
  const auto linear = [&](ValueId x, const std::string& name) {
    return nn::linear(b, x, weights[name + ".weight"], weights[name + ".bias"]);
  };
  const auto look_up = [&](const char* table, ValueId rows, const char* axis) {
    const ValueId weight = weights[std::string("embeddings.") + table + ".weight"];
    return ops::cast(b, ops::embedding(b, weight, rows, axis), DType::f32);
  };
  const AxisList from{"tokens"}, to{"keys"};
  ValueId x;
  {
    ir::ScopeGuard scope(b, "embed");
    x = look_up("word_embeddings", ids, "vocab");
    if (types != ir::kNoValue) x = ops::add(b, x, look_up("token_type_embeddings", types, "types"));
    x = norm(ops::add(b, x, look_up("position_embeddings", positions, "positions")), "embeddings.LayerNorm");
  }
  ops::AttentionAttrs attrs;
  attrs.causal = false;
  attrs.scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim()));
  const Names& name = names(c);
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string l = layer_name(c, i);
    ir::ScopeGuard layer(b, "layers." + std::to_string(i));
    {
      ir::ScopeGuard scope(b, "attn");
      const ValueId q = linear(x, l + name.q), k = linear(x, l + name.k), v = linear(x, l + name.v);
      ops::AttentionOperands in{q, ops::rename(b, k, from, to), ops::rename(b, v, from, to), positions,
                                ops::rename(b, positions, from, to)};
      in.q_seg = segments;
      in.k_seg = ops::rename(b, segments, from, to);
      const ValueId o = linear(ops::attention(b, in, attrs).o, l + name.out);
      x = norm(ops::add(b, o, x), l + name.attention_norm);
    }
    ir::ScopeGuard scope(b, "mlp");
    const ValueId h = nn::activate(b, linear(x, l + name.up), activation(c.activation));
    x = norm(ops::add(b, linear(h, l + name.down), x), l + name.output_norm);
  }
  b.output("hidden", x);
  if (c.classifies) {
    ir::ScopeGuard scope(b, "head");
    ValueId h = linear(ops::embedding(b, x, first, "tokens"), head(c).dense);
    h = c.family == EncoderFamily::kDistilBert ? ops::relu(b, h) : ops::tanh(b, h);
    b.output("logits", linear(h, head(c).out));
  }
  return g;
}

int64_t parameter_count(const EncoderConfig& config) {
  int64_t n = 0;
  for (const Parameter& p : parameters(config, DType::f32)) n += p.type.elements();
  return n;
}

}  // namespace hoist::models
