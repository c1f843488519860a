#include "bench/random_model.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"

namespace hoist::bench {

io::ModelConfig shape_config(const std::string& shape, int64_t context) {
  io::ModelConfig c;
  if (shape == "gpt2-124m") {
    c = io::default_model_config(io::Family::kGpt2);
    c.vocab = 50257;
    c.hidden = 768;
    c.intermediate = 3072;
    c.layers = 12;
    c.heads = c.kv_heads = 12;
    c.head_dim = 64;
    c.max_position = 1024;
  } else if (shape == "llama-1.1b") {
    c = io::default_model_config(io::Family::kLlama);
    c.vocab = 32000;
    c.hidden = 2048;
    c.intermediate = 5632;
    c.layers = 22;
    c.heads = 32;
    c.kv_heads = 4;
    c.head_dim = 64;
    c.max_position = 2048;
    c.norm_eps = 1e-5;
  } else if (shape == "tiny") {
    c = io::default_model_config(io::Family::kLlama);
    c.vocab = 320;
    c.hidden = 64;
    c.intermediate = 256;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 16;
    c.max_position = 64;
  } else {
    throw_invalid("--shape: found '" + shape + "', expected llama-1.1b, gpt2-124m or tiny");
  }
  c.max_position = std::max(c.max_position, context);
  return c;
}

WeightStorage weight_storage(const std::string& quant) {
  if (quant == "f32") return {DType::f32, {}};
  if (quant == "bf16") return {DType::bf16, {}};
  const ir::Format* format = ir::find_format(quant);
  if (format && !format->panel) return {DType::f32, quant};
  throw_invalid("--quant: found '" + quant +
                "', expected f32, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k or q6_k");
}

void draw_parameter(const models::Parameter& p, std::byte* to) {
  const int64_t n = p.type.elements();
  uint64_t state = stable_hash(p.name) | 1;
  const float scale = static_cast<float>(p.init.std) * 1.7320508f * 0x1p-31f;  // uniform, of that deviation
  for (int64_t i = 0; i < n; ++i) {
    float x = p.init.kind == models::Init::Kind::kOnes ? 1.0f : 0.0f;
    if (p.init.kind == models::Init::Kind::kNormal) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      x = static_cast<float>(static_cast<int32_t>(state >> 32)) * scale;
    }
    if (p.type.dtype == DType::bf16)
      reinterpret_cast<bf16*>(to)[i] = to_bf16(x);
    else
      reinterpret_cast<float*>(to)[i] = x;
  }
}

decode::Model random_model(const std::string& shape, const std::string& quant, int64_t context) {
  decode::Model m;
  m.name = shape;
  m.config = shape_config(shape, context);
  const WeightStorage storage = weight_storage(quant);
  m.drawn_dtype = storage.dtype;
  m.drawn_format = storage.format;
  m.draw = draw_parameter;
  return m;
}

ModelCost model_cost(const io::ModelConfig& config, const WeightStorage& storage) {
  ModelCost cost;
  const std::vector<models::Parameter> list = models::parameters(config, storage.dtype, DType::f32);
  auto has = [](const models::Parameter& p, const char* axis) { return p.type.has(axis); };
  for (const models::Parameter& p : list) {
    const double n = static_cast<double>(p.type.elements());
    cost.parameters += n;
    if (has(p, "positions")) continue;
    if (p.shape.size() < 2) {
      if (p.init.kind == models::Init::Kind::kOnes) cost.norm_width += n;
      continue;
    }
    ir::Type type = p.type;
    type.format = storage.format;
    // The embedding table is read by the row; the vocabulary layer, which may be the same table, as a whole.
    if (has(p, "vocab")) {
      cost.head = n;
    } else {
      cost.layers += n;
      cost.weight_bytes += static_cast<double>(type.bytes());
    }
    if (has(p, "vocab") && (&p == &list.back() || config.tie_word_embeddings))
      cost.weight_bytes += static_cast<double>(type.bytes());
  }
  return cost;
}

}  // namespace hoist::bench
