// model_type phi3 (Phi-3, Phi-3.5, Phi-4): Llama's shape with joined projections, rope over a part of each
// head and two tables of frequencies (longrope).
#include <fmt/format.h>

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

ModelConfig defaults() {
  return {.family = Family::kPhi3,
          .vocab = 32064,
          .hidden = 3072,
          .intermediate = 8192,
          .layers = 32,
          .heads = 32,
          .kv_heads = 32,
          .head_dim = 96,
          .max_position = 4096,
          .norm_eps = 1e-5,
          .bos_id = 1,
          .eos_ids = {32000},
          .pad_id = 32000};
}

void read(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  config.kv_heads = int_or(root, "num_key_value_heads", config.heads, 1, kMaxHeads);
  read_head_dim(root, config);
  read_window(root, config, 0);
  read_double(root, "resid_pdrop", config.residual_dropout, 0, 1);
  read_double(root, "embd_pdrop", config.embedding_dropout, 0, 1);
  for (const char* key : {"attention_bias", "mlp_bias", "lm_head_bias"}) require_neutral(root, key, "false");
}

void write(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  write_window(config, out);
  out["resid_pdrop"] = config.residual_dropout;
  out["embd_pdrop"] = config.embedding_dropout;
}

constexpr std::string_view kBenign[] = {"full_attn_mod", "interpolate_factor"};

}  // namespace

const FamilyReader kPhi3Reader = {Family::kPhi3, "Phi3ForCausalLM", read, write, defaults, kBenign};

}  // namespace hoist::io
