// model_types mixtral, qwen2_moe and qwen3_moe: Llama's and Qwen's shapes with experts in place of the MLP.
#include <fmt/format.h>

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

ModelConfig mixtral_defaults() {
  ModelConfig c{.family = Family::kMixtral,
                .vocab = 32000,
                .hidden = 4096,
                .intermediate = 14336,
                .layers = 32,
                .heads = 32,
                .kv_heads = 8,
                .head_dim = 128,
                .max_position = 4096 * 32,
                .norm_eps = 1e-5,
                .experts = 8,
                .experts_per_token = 2,
                .norm_topk = true,
                .bos_id = 1,
                .eos_ids = {2}};
  c.rope.theta = 1e6;
  c.expert_intermediate = c.intermediate;
  return c;
}

ModelConfig qwen2_defaults() {
  return {.family = Family::kQwen2Moe,
          .vocab = 151936,
          .hidden = 2048,
          .intermediate = 5632,
          .layers = 24,
          .heads = 16,
          .kv_heads = 16,
          .head_dim = 128,
          .max_position = 32768,
          .norm_eps = 1e-6,
          .qkv_bias = true,
          .experts = 60,
          .experts_per_token = 4,
          .expert_intermediate = 1408,
          .shared_intermediate = 5632};
}

ModelConfig qwen3_defaults() {
  return {.family = Family::kQwen3Moe,
          .vocab = 151936,
          .hidden = 2048,
          .intermediate = 6144,
          .layers = 24,
          .heads = 32,
          .kv_heads = 4,
          .head_dim = 64,
          .max_position = 32768,
          .norm_eps = 1e-6,
          .qk_norm = true,
          .experts = 128,
          .experts_per_token = 8,
          .expert_intermediate = 768};
}

void check_experts(const Json& root, const ModelConfig& c) {
  const auto refuse = [&](const std::string& message) { root.fail(ErrorCode::kInvalidArgument, message); };
  if (c.experts_per_token > c.experts)
    refuse(fmt::format("num_experts_per_tok: found {}, expected at most the {} experts", c.experts_per_token,
                       c.experts));
  if (c.experts * c.expert_intermediate > kMaxExpertRows)
    refuse(fmt::format("experts times their width: found {}, expected at most {}",
                       c.experts * c.expert_intermediate, kMaxExpertRows));
  if (c.layers * c.experts > kMaxExpertTensors)
    refuse(fmt::format("layers times experts: found {}, expected at most {}", c.layers * c.experts,
                       kMaxExpertTensors));
}

void read_kv_heads(const Json& root, ModelConfig& config, int64_t otherwise) {
  const bool given = root.find("num_key_value_heads").has_value();
  config.kv_heads = given ? int_or(root, "num_key_value_heads", config.heads, 1, kMaxHeads) : otherwise;
}

void read_mixtral(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  read_kv_heads(root, config, 8);
  read_head_dim(root, config);
  read_window(root, config, 0);
  require_neutral(root, "attention_bias", "false");
  read_int(root, "num_local_experts", config.experts, 1, kMaxExperts, "num_experts");
  read_int(root, "num_experts_per_tok", config.experts_per_token, 1, kMaxExperts);
  config.expert_intermediate = config.intermediate;
  check_experts(root, config);
}

void write_mixtral(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  write_window(config, out);
  out["num_local_experts"] = config.experts;
  out["num_experts_per_tok"] = config.experts_per_token;
}

// Which layers have experts: every decoder_sparse_step-th, but those of mlp_only_layers.
void read_qwen_experts(const Json& root, ModelConfig& config) {
  read_int(root, "num_experts", config.experts, 1, kMaxExperts, "num_local_experts");
  read_int(root, "num_experts_per_tok", config.experts_per_token, 1, kMaxExperts);
  read_int(root, "moe_intermediate_size", config.expert_intermediate, 1, kMaxIntermediate);
  read_bool(root, "norm_topk_prob", config.norm_topk);
  const int64_t step = int_or(root, "decoder_sparse_step", 1, 1, kMaxLayers);
  config.dense.clear();
  bool any = false;
  for (int64_t i = 0; i < config.layers; ++i) {
    config.dense.push_back((i + 1) % step != 0);
    any = any || config.dense.back();
  }
  const auto list = root.find("mlp_only_layers");
  if (list && !list->is_null())
    for (const Json layer : list->elements()) {
      const int64_t i = layer.as_int(0, kMaxLayers);
      if (i >= config.layers) continue;
      config.dense[static_cast<size_t>(i)] = any = true;
    }
  if (!any) config.dense.clear();
  check_experts(root, config);
}

void write_qwen_experts(const ModelConfig& config, JsonValue& out) {
  out["num_experts"] = config.experts;
  out["num_experts_per_tok"] = config.experts_per_token;
  out["moe_intermediate_size"] = config.expert_intermediate;
  out["norm_topk_prob"] = config.norm_topk;
  out["decoder_sparse_step"] = 1;
  std::vector<int64_t> dense;
  for (int64_t i = 0; i < config.layers; ++i)
    if (!config.moe_layer(i)) dense.push_back(i);
  out["mlp_only_layers"] = dense;
  out["use_sliding_window"] = false;
}

void read_qwen2(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  read_kv_heads(root, config, 16);
  read_head_dim(root, config);
  read_bool(root, "qkv_bias", config.qkv_bias);
  read_int(root, "shared_expert_intermediate_size", config.shared_intermediate, 1, kMaxIntermediate);
  refuse_sliding_window(root, config);
  read_qwen_experts(root, config);
}

void write_qwen2(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  out["qkv_bias"] = config.qkv_bias;
  out["shared_expert_intermediate_size"] = config.shared_intermediate;
  write_qwen_experts(config, out);
}

void read_qwen3(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  read_kv_heads(root, config, 4);
  read_head_dim(root, config);
  bool attention_bias = false;
  read_bool(root, "attention_bias", attention_bias);
  config.qkv_bias = config.out_bias = attention_bias;
  refuse_sliding_window(root, config);
  read_qwen_experts(root, config);
}

void write_qwen3(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  out["attention_bias"] = config.qkv_bias;
  write_qwen_experts(config, out);
}

// The rest concerns training only.
constexpr std::string_view kBenign[] = {"sliding_window", "max_window_layers", "router_aux_loss_coef",
                                        "output_router_logits", "router_jitter_noise"};

}  // namespace

const FamilyReader kMixtralReader = {Family::kMixtral, "MixtralForCausalLM", read_mixtral,
                                     write_mixtral,    mixtral_defaults,     kBenign};
const FamilyReader kQwen2MoeReader = {Family::kQwen2Moe, "Qwen2MoeForCausalLM", read_qwen2,
                                      write_qwen2,       qwen2_defaults,        kBenign};
const FamilyReader kQwen3MoeReader = {Family::kQwen3Moe, "Qwen3MoeForCausalLM", read_qwen3,
                                      write_qwen3,       qwen3_defaults,        kBenign};

}  // namespace hoist::io
