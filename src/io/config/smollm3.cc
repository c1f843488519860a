// model_type smollm3: Llama's shape in which some layers, by default every fourth, have no rope.
#include <fmt/format.h>

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

ModelConfig defaults() {
  ModelConfig c{.family = Family::kSmollm3,
                .vocab = 128256,
                .hidden = 2048,
                .intermediate = 11008,
                .layers = 36,
                .heads = 16,
                .kv_heads = 4,
                .head_dim = 128,
                .max_position = 32768,
                .norm_eps = 1e-6,
                .tie_word_embeddings = true,
                .bos_id = 128000,
                .eos_ids = {128001},
                .pad_id = 128004};
  c.rope.theta = 2e6;
  for (int64_t i = 0; i < c.layers; ++i) c.unrotated.push_back((i + 1) % 4 == 0);
  return c;
}

void read(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  const bool given = root.find("num_key_value_heads").has_value();
  config.kv_heads = given ? int_or(root, "num_key_value_heads", config.heads, 1, kMaxHeads) : 4;
  read_head_dim(root, config);
  bool attention_bias = false;
  read_bool(root, "attention_bias", attention_bias);
  config.qkv_bias = config.out_bias = attention_bias;
  read_bool(root, "mlp_bias", config.mlp_bias);
  refuse_sliding_window(root, config);
  const int64_t interval = int_or(root, "no_rope_layer_interval", 4, 1, kMaxLayers);
  config.unrotated.clear();
  const auto list = root.find("no_rope_layers");
  if (list && !list->is_null()) {  // ones are the layers that have rope, whatever the name says
    if (list->size() < static_cast<size_t>(config.layers) || list->size() > kMaxLayers)
      list->refuse(fmt::format("{} numbers, one for each layer", config.layers));
    for (const Json rotated : list->elements()) config.unrotated.push_back(rotated.as_int(0, 1) == 0);
    config.unrotated.resize(static_cast<size_t>(config.layers));
  } else {
    for (int64_t i = 0; i < config.layers; ++i) config.unrotated.push_back((i + 1) % interval == 0);
  }
}

void write(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  out["attention_bias"] = config.qkv_bias;
  out["mlp_bias"] = config.mlp_bias;
  out["use_sliding_window"] = false;
  std::vector<int64_t> rotated;
  for (int64_t i = 0; i < config.layers; ++i) rotated.push_back(config.layer_rotates(i) ? 1 : 0);
  out["no_rope_layers"] = rotated;
}

constexpr std::string_view kBenign[] = {"sliding_window", "max_window_layers", "pretraining_tp"};

}  // namespace

const FamilyReader kSmollm3Reader = {Family::kSmollm3, "SmolLM3ForCausalLM", read, write, defaults, kBenign};

}  // namespace hoist::io
