// model_type qwen3: Llama's shape with q and k normalized per head, and a head width of its own.

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

ModelConfig defaults() {
  return {.family = Family::kQwen3,
          .vocab = 151936,
          .hidden = 4096,
          .intermediate = 22016,
          .layers = 32,
          .heads = 32,
          .kv_heads = 32,
          .head_dim = 128,
          .max_position = 32768,
          .norm_eps = 1e-6,
          .qk_norm = true};
}

void read(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  const bool given = root.find("num_key_value_heads").has_value();
  config.kv_heads = given ? int_or(root, "num_key_value_heads", config.heads, 1, kMaxHeads) : 32;
  read_int(root, "head_dim", config.head_dim, 1, kMaxHeadDim);
  bool attention_bias = false;
  read_bool(root, "attention_bias", attention_bias);
  config.qkv_bias = config.out_bias = attention_bias;
  require_neutral(root, "mlp_bias", "false");
  refuse_sliding_window(root, config);
}

void write(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  out["attention_bias"] = config.qkv_bias;
  out["use_sliding_window"] = false;
}

constexpr std::string_view kBenign[] = {"sliding_window", "max_window_layers"};

}  // namespace

const FamilyReader kQwen3Reader = {Family::kQwen3, "Qwen3ForCausalLM", read, write, defaults, kBenign};

}  // namespace hoist::io
