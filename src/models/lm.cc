#include "models/lm.h"

#include <cmath>

#include "base/error.h"
#include "models/family.h"
#include "ops/constants.h"
#include "ops/contract.h"
#include "ops/cross_entropy.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/kv_row.h"
#include "ops/reduce.h"

namespace hoist::models {

using ir::Builder;
using ir::Graph;
using ir::Type;
using ir::ValueId;

Weights::Weights(Builder& b, const std::vector<Parameter>& list, bool train, bool train_biases) {
  for (const Parameter& p : list)
    values_[p.name] = b.state(p.name, p.type, ir::Role::kParameter, train && (train_biases || !p.bias));
}

ValueId Weights::operator[](const std::string& name) const {
  auto it = values_.find(name);
  HOIST_CHECK(it != values_.end(), "model has no parameter " + name);
  return it->second;
}

ValueId Weights::maybe(const std::string& name) const {
  auto it = values_.find(name);
  return it == values_.end() ? ir::kNoValue : it->second;
}

Parameter parameter(std::string name, DType dtype, const ir::Dims& dims, std::vector<int64_t> shape,
                    Init init, bool bias) {
  Parameter p;
  p.name = name;
  p.tensor = std::move(name);
  p.type = p.stored = Type(dtype, dims);
  p.shape = std::move(shape);
  p.init = init;
  p.bias = bias;
  return p;
}

nn::Activation activation(io::Activation a) {
  switch (a) {
    case io::Activation::kSilu: return nn::Activation::kSilu;
    case io::Activation::kGelu: return nn::Activation::kGelu;
    case io::Activation::kGeluTanh: return nn::Activation::kGeluTanh;
    case io::Activation::kRelu: return nn::Activation::kRelu;
  }
  return nn::Activation::kSilu;
}

const FamilyDef& family(const io::ModelConfig& config) {
  return config.family == io::Family::kGpt2 ? gpt2_family() : llama_family();
}

std::vector<Parameter> parameters(const io::ModelConfig& config, DType dtype, DType norms) {
  const FamilyDef& f = family(config);
  std::vector<Parameter> list = f.parameters(config, dtype, norms);
  if (!config.tie_word_embeddings)
    list.push_back(parameter(f.head, dtype, {{"vocab", config.vocab}, {"model", config.hidden}},
                             {config.vocab, config.hidden}, {Init::Kind::kNormal, config.initializer_range}));
  // A matrix product sums over the axes that reach it from the other side: heads into the output projection,
  // the inner width into the way down, the model's width everywhere else.
  for (Parameter& p : list) {
    if (p.stored.rank() < 2 || p.bias || p.inputs.size() > 0 || p.stored.has("positions")) continue;
    const bool out_of_attention = p.name.ends_with("o_proj.weight") || p.name.ends_with("attn.c_proj.weight");
    const bool down = p.name.ends_with("down_proj.weight") || p.name.ends_with("mlp.c_proj.weight");
    p.inputs = out_of_attention ? AxisList{"kv_heads", "group", "head_dim"}
               : down           ? AxisList{"ffn"}
                                : AxisList{"model"};
  }
  return list;
}

std::vector<Parameter> in_panels(std::vector<Parameter> list, FunctionRef<Symbol(const Parameter&)> format) {
  for (Parameter& p : list) {
    if (p.inputs.size() == 0) continue;
    ir::Dims dims;
    int64_t k = 1;
    for (const ir::Dim& d : p.stored.dims)
      if (!p.inputs.contains(d.axis)) dims.push_back(d);
    for (ir::Axis axis : p.inputs) {
      dims.push_back({axis, p.stored.size_of(axis)});
      k *= p.stored.size_of(axis);
    }
    std::string base = format(p).str();
    if (!base.empty() && k % ir::find_format(base)->block) base = k % 32 ? "" : "q8_0";
    // Experts may not share a panel.
    if (!p.stack.empty() && p.stored.elements() / p.stored.dims[0].size / k % ir::kPanelRows != 0) continue;
    const std::string suffix = "p" + std::to_string(p.inputs.size());
    p.type = Type(base.empty() ? p.stored.dtype : DType::f32, dims);
    p.type.format = base.empty() ? suffix : base + "_" + suffix;
  }
  return list;
}

bool ignorable_tensor(const io::ModelConfig& config, const std::string& name) {
  auto ends = [&](std::string_view s) { return name.ends_with(s); };
  if (ends(".attn.bias") || ends(".attn.masked_bias") || ends(".rotary_emb.inv_freq")) return true;
  return config.tie_word_embeddings && name == family(config).head;
}

namespace {

// [.., model] x head -> [.., vocab] in f32.
ValueId logits_of(Builder& b, const FamilyDef& def, const Weights& weights, const io::ModelConfig& config,
                  ValueId x) {
  ir::ScopeGuard scope(b, "head");
  AxisList out;
  for (const ir::Dim& d : b.type(x).dims)
    if (d.axis.name() != "model") out.push_back(d.axis);
  out.push_back("vocab");
  ValueId logits =
      ops::contract(b, x, weights[config.tie_word_embeddings ? def.embedding : def.head], out, DType::f32);
  const double cap = config.final_softcap;
  return cap > 0 ? ops::affine(b, ops::tanh(b, ops::affine(b, logits, 1 / cap)), cap) : logits;
}

}  // namespace

Graph train_graph(const io::ModelConfig& config, const TrainShape& shape, bool want_logits) {
  Graph g;
  g.name = "train";
  Builder b(g);
  const FamilyDef& def = family(config);
  const Type ids_type(DType::i32, {{"batch", shape.batch}, {"seq", shape.seq}});
  ValueId ids = b.input("ids", ids_type), targets = b.input("targets", ids_type);
  ValueId segments = shape.packed ? b.input("segments", ids_type) : ir::kNoValue;
  ValueId positions = shape.packed ? b.input("positions", ids_type) : ir::kNoValue;
  Weights weights(b, parameters(config, shape.dtype, shape.dtype), true, shape.train_biases);
  if (!shape.packed) positions = ops::iota(b, "seq", shape.seq);
  Forward f{b, config, weights, {}, ids, positions, shape.dtype, shape.seq};
  f.attention.pos = f.positions;
  f.attention.segments = segments;
  ValueId x = def.final_norm(f, def.blocks(f));
  ValueId logits = logits_of(b, def, weights, config, x);
  ir::ScopeGuard scope(b, "loss");
  ops::CrossEntropyResult ce = ops::cross_entropy(b, logits, targets, "vocab");
  // A negative target weighs nothing. Ids are far below 2^24, so f32 holds them exactly.
  ValueId index = ops::cast(b, targets, DType::f32);
  ValueId weight = ops::greater_equal(b, index, ops::zeros_like(b, index));
  ValueId loss = ops::mul(b, ops::sub(b, ce.lse, ce.picked), weight);
  b.output("loss_sum", ops::reduce_sum(b, loss, {"batch", "seq"}));
  b.output("weight_sum", ops::reduce_sum(b, weight, {"batch", "seq"}));
  if (want_logits) b.output("logits", logits);
  return g;
}

Graph serve_graph(const io::ModelConfig& config, const ServeShape& shape) {
  return serve_graph(config, shape, parameters(config, shape.dtype, DType::f32));
}

Graph serve_graph(const io::ModelConfig& config, const ServeShape& shape,
                  const std::vector<Parameter>& list) {
  Graph g;
  g.name = "serve";
  Builder b(g);
  const FamilyDef& def = family(config);
  const Type tokens(DType::i32, {{"tokens", shape.tokens, true}});
  ValueId ids = b.input("ids", tokens), positions = b.input("positions", tokens);
  Weights weights(b, list, false, false);
  Forward f{b, config, weights, {}, ids, positions, DType::f32};
  f.context = shape.context > 0 ? shape.context : shape.seq_blocks * shape.block;
  f.attention.paged = true;
  f.attention.pos = positions;
  f.attention.slot = b.input("slots", tokens);
  f.attention.seq = b.input("seqs", tokens);
  f.attention.table =
      b.input("tables", Type(DType::i32, {{"seqs", shape.seqs, true}, {"seq_blocks", shape.seq_blocks}}));
  f.attention.blocks = shape.blocks;
  f.attention.block = shape.block;
  f.attention.cache_dtype = shape.cache;
  ValueId rows = b.input("rows", Type(DType::i32, {{"rows", shape.rows, true}}));
  ValueId x = def.blocks(f);
  // The head is the widest layer: only the rows that need logits meet it.
  x = ops::embedding(b, x, rows, "tokens");
  b.output("logits", logits_of(b, def, weights, config, def.final_norm(f, x)));
  return g;
}

int64_t parameter_count(const io::ModelConfig& config) {
  int64_t n = 0;
  for (const Parameter& p : parameters(config, DType::f32, DType::f32)) n += p.type.elements();
  return n;
}

int64_t cache_bytes_per_token(const io::ModelConfig& config, DType cache) {
  const int64_t row = config.head_dim * dtype_size(cache) + (cache == DType::i8 ? ops::kKvScaleBytes : 0);
  return 2 * config.layers * config.kv_heads * row;
}

}  // namespace hoist::models
