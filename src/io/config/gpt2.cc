// model_type gpt2: learned positions, layer norm, biases everywhere. A model trained without biases is saved
// as this family with biases of zero (the models layer writes them).
#include <fmt/format.h>

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

ModelConfig defaults() {
  return {.family = Family::kGpt2,
          .vocab = 50257,
          .hidden = 768,
          .intermediate = 3072,
          .layers = 12,
          .heads = 12,
          .kv_heads = 12,
          .head_dim = 64,
          .max_position = 1024,
          .norm_eps = 1e-5,
          .activation = Activation::kGeluTanh,
          .activation_text = "gelu_new",
          .qkv_bias = true,
          .out_bias = true,
          .mlp_bias = true,
          .tie_word_embeddings = true,
          .attention_dropout = 0.1,
          .residual_dropout = 0.1,
          .embedding_dropout = 0.1,
          .bos_id = 50256,
          .eos_ids = {50256}};
}

void read(const Json& root, ModelConfig& config) {
  read_int(root, "vocab_size", config.vocab, 1, kMaxVocab);
  read_int(root, "n_embd", config.hidden, 1, kMaxWidth, "hidden_size");
  read_int(root, "n_layer", config.layers, 1, kMaxLayers, "num_hidden_layers");
  read_int(root, "n_head", config.heads, 1, kMaxHeads, "num_attention_heads");
  read_int(root, "n_positions", config.max_position, 1, kMaxPositions, "max_position_embeddings");
  config.intermediate = int_or(root, "n_inner", 4 * config.hidden, 1, kMaxIntermediate);
  config.kv_heads = config.heads;
  if (config.hidden % config.heads != 0)
    root.fail(ErrorCode::kInvalidArgument, fmt::format("n_embd: found {}, expected a multiple of n_head ({})",
                                                       config.hidden, config.heads));
  config.head_dim = config.hidden / config.heads;
  if (config.head_dim > kMaxHeadDim)
    root.fail(ErrorCode::kInvalidArgument,
              fmt::format("n_embd / n_head: found {}, expected at most {}", config.head_dim, kMaxHeadDim));
  read_double(root, "layer_norm_epsilon", config.norm_eps, 0, 1);
  read_activation(root, "activation_function", config);
  read_double(root, "resid_pdrop", config.residual_dropout, 0, 1);
  read_double(root, "embd_pdrop", config.embedding_dropout, 0, 1);
  read_double(root, "attn_pdrop", config.attention_dropout, 0, 1);
  read_bool(root, "scale_attn_weights", config.scale_attention);
  for (const char* key :
       {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"})
    require_neutral(root, key, "false");
}

void write(const ModelConfig& config, JsonValue& out) {
  out["vocab_size"] = config.vocab;
  out["n_embd"] = config.hidden;
  out["n_layer"] = config.layers;
  out["n_head"] = config.heads;
  out["n_positions"] = config.max_position;
  if (config.intermediate == 4 * config.hidden)
    out["n_inner"] = nullptr;
  else
    out["n_inner"] = config.intermediate;
  out["layer_norm_epsilon"] = config.norm_eps;
  out["activation_function"] = config.activation_text;
  out["resid_pdrop"] = config.residual_dropout;
  out["embd_pdrop"] = config.embedding_dropout;
  out["attn_pdrop"] = config.attention_dropout;
  out["scale_attn_weights"] = config.scale_attention;
}

constexpr std::string_view kBenign[] = {"n_ctx"};

}  // namespace

const FamilyReader kGpt2Reader = {Family::kGpt2, "GPT2LMHeadModel", read, write, defaults, kBenign};

}  // namespace hoist::io
