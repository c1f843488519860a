// model_type qwen2 (Qwen 2 and 2.5): Llama's shape with biases on q, k and v, and none on the output
// projection.

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

ModelConfig defaults() {
  return {.family = Family::kQwen2,
          .vocab = 151936,
          .hidden = 4096,
          .intermediate = 22016,
          .layers = 32,
          .heads = 32,
          .kv_heads = 32,
          .head_dim = 128,
          .max_position = 32768,
          .norm_eps = 1e-6,
          .qkv_bias = true};
}

void read(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  // The class default is 32 and not the number of heads; null is the number of heads.
  const bool given = root.find("num_key_value_heads").has_value();
  config.kv_heads = given ? int_or(root, "num_key_value_heads", config.heads, 1, kMaxHeads) : 32;
  const auto head_dim = root.find("head_dim");
  if (head_dim && !head_dim->is_null()) {
    config.head_dim = head_dim->as_int(1, kMaxHeadDim);
  } else {
    if (config.hidden % config.heads != 0) root.at("hidden_size").refuse("a multiple of num_attention_heads");
    config.head_dim = config.hidden / config.heads;
  }
  require_neutral(root, "attention_bias", "true");
  require_neutral(root, "mlp_bias", "false");
  refuse_sliding_window(root, config);
}

void write(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  out["use_sliding_window"] = false;
}

constexpr std::string_view kBenign[] = {"sliding_window", "max_window_layers"};

}  // namespace

const FamilyReader kQwen2Reader = {Family::kQwen2, "Qwen2ForCausalLM", read, write, defaults, kBenign};

}  // namespace hoist::io
