// model_type mistral: Llama's shape without biases, with a sliding window and a head width of its own.
#include <fmt/format.h>

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

ModelConfig defaults() {
  return {.family = Family::kMistral,
          .vocab = 32000,
          .hidden = 4096,
          .intermediate = 14336,
          .layers = 32,
          .heads = 32,
          .kv_heads = 8,
          .head_dim = 128,
          .max_position = 4096 * 32,
          .norm_eps = 1e-6,
          .window = 4096,
          .bos_id = 1,
          .eos_ids = {2}};
}

void read(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  const bool given = root.find("num_key_value_heads").has_value();
  config.kv_heads = given ? int_or(root, "num_key_value_heads", config.heads, 1, kMaxHeads) : 8;
  read_head_dim(root, config);
  read_window(root, config, 4096);
  require_neutral(root, "attention_bias", "false");
  require_neutral(root, "mlp_bias", "false");
}

void write(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  write_window(config, out);
}

}  // namespace

const FamilyReader kMistralReader = {Family::kMistral, "MistralForCausalLM", read, write, defaults, {}};

}  // namespace hoist::io
