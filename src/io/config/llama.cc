// model_type llama: Llama 1 to 3 and what is shaped like them.
#include <fmt/format.h>

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

ModelConfig defaults() {
  return {.family = Family::kLlama,
          .vocab = 32000,
          .hidden = 4096,
          .intermediate = 11008,
          .layers = 32,
          .heads = 32,
          .kv_heads = 32,
          .head_dim = 128,
          .max_position = 2048,
          .norm_eps = 1e-6,
          .bos_id = 1,
          .eos_ids = {2}};
}

void read(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  config.kv_heads = int_or(root, "num_key_value_heads", config.heads, 1, kMaxHeads);
  // The class refuses this even where head_dim is given.
  if (config.hidden % config.heads != 0)
    root.fail(ErrorCode::kInvalidArgument,
              fmt::format("hidden_size: found {}, expected a multiple of num_attention_heads ({})",
                          config.hidden, config.heads));
  config.head_dim = int_or(root, "head_dim", config.hidden / config.heads, 1, kMaxHeadDim);
  bool attention_bias = false;
  read_bool(root, "attention_bias", attention_bias);
  config.qkv_bias = config.out_bias = attention_bias;
  read_bool(root, "mlp_bias", config.mlp_bias);
  require_neutral(root, "sliding_window", "null");
}

void write(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  out["attention_bias"] = config.qkv_bias;
  out["mlp_bias"] = config.mlp_bias;
}

// pretraining_tp splits matmuls without changing what they compute.
constexpr std::string_view kBenign[] = {"pretraining_tp"};

}  // namespace

const FamilyReader kLlamaReader = {Family::kLlama, "LlamaForCausalLM", read, write, defaults, kBenign};

}  // namespace hoist::io
