// model_types gemma2 and gemma3_text: layers that slide between layers that see everything, norms around both
// branches, soft caps (2), normalized q and k and a rope base for each kind of layer (3).
#include <fmt/format.h>

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

// Every `pattern`-th layer sees everything.
void alternate(ModelConfig& config, int64_t pattern) {
  config.slides.clear();
  for (int64_t i = 0; i < config.layers; ++i) config.slides.push_back((i + 1) % pattern != 0);
}

ModelConfig gemma2_defaults() {
  ModelConfig c{.family = Family::kGemma2,
                .vocab = 256000,
                .hidden = 2304,
                .intermediate = 9216,
                .layers = 26,
                .heads = 8,
                .kv_heads = 4,
                .head_dim = 256,
                .max_position = 8192,
                .norm_eps = 1e-6,
                .activation = Activation::kGeluTanh,
                .activation_text = "gelu_pytorch_tanh",
                .window = 4096,
                .attention_scalar = 256,
                .attention_softcap = 50,
                .final_softcap = 30,
                .tie_word_embeddings = true,
                .bos_id = 2,
                .eos_ids = {1},
                .pad_id = 0};
  alternate(c, 2);
  return c;
}

ModelConfig gemma3_defaults() {
  ModelConfig c = gemma2_defaults();
  c.family = Family::kGemma3;
  c.vocab = 262208;
  c.max_position = 131072;
  c.attention_softcap = c.final_softcap = 0;
  c.qk_norm = true;
  c.rope.theta = 1e6;
  alternate(c, 6);
  return c;
}

// A cap: null is none.
void read_softcap(const Json& root, std::string_view key, double& cap) {
  const auto value = root.find(key);
  if (value) cap = value->is_null() ? 0 : value->as_double(1e-3, 1e6);
}

void write_softcap(std::string_view key, double cap, JsonValue& out) {
  if (cap > 0)
    out[key] = cap;
  else
    out[key] = nullptr;
}

void read_common(const Json& root, ModelConfig& config, int64_t pattern) {
  const int64_t kv_heads = int_or(root, "num_key_value_heads", 4, 1, kMaxHeads);
  config.kv_heads = kv_heads;
  read_int(root, "head_dim", config.head_dim, 1, kMaxHeadDim);
  read_activation(root, "hidden_activation", config);
  bool attention_bias = false;
  read_bool(root, "attention_bias", attention_bias);
  config.qkv_bias = config.out_bias = attention_bias;
  read_double(root, "query_pre_attn_scalar", config.attention_scalar, 1e-3, 1e6);
  read_softcap(root, "attn_logit_softcapping", config.attention_softcap);
  read_softcap(root, "final_logit_softcapping", config.final_softcap);
  require_neutral(root, "use_bidirectional_attention", "false");
  read_window(root, config, 4096);
  alternate(config, pattern);
  read_layer_types(root, config);
}

void write_common(const ModelConfig& config, JsonValue& out) {
  write_llama_shape(config, out);
  out["hidden_activation"] = config.activation_text;
  out["attention_bias"] = config.qkv_bias;
  out["query_pre_attn_scalar"] = config.attention_scalar;
  write_softcap("attn_logit_softcapping", config.attention_softcap, out);
  write_softcap("final_logit_softcapping", config.final_softcap, out);
  write_window(config, out);
  write_layer_types(config, out);
}

void read_gemma2(const Json& root, ModelConfig& config) {
  read_llama_shape(root, config);
  read_common(root, config, 2);
}

// Rope keys of version 5 come once for each kind of layer.
void read_gemma3(const Json& root, ModelConfig& config) {
  config.local_rope = {};
  const auto parameters = root.find("rope_parameters");
  const bool by_kind = parameters && parameters->is_object() &&
                       (parameters->find("full_attention") || parameters->find("sliding_attention"));
  if (by_kind) {
    for (const char* key : {"rope_theta", "rope_scaling", "rope_local_base_freq"})
      require_neutral(root, key, "null");
    read_sizes(root, config);
    RopeOutside outside{.original = config.max_position, .max_position = config.max_position};
    const auto read = [&](const char* kind, double theta, RopeConfig& rope) {
      outside.theta = rope.theta = theta;
      const auto value = parameters->find(kind);
      if (value && !value->is_null()) rope = read_rope_parameters(*value, outside);
    };
    read("full_attention", 1e6, config.rope);
    read("sliding_attention", 1e4, config.local_rope);
    for (const auto& [key, unknown] : parameters->unread_members())
      unknown.fail(ErrorCode::kUnsupported,
                   fmt::format("found {}, expected full_attention and sliding_attention", unknown.excerpt()));
  } else {
    read_llama_shape(root, config);
    read_double(root, "rope_local_base_freq", config.local_rope.theta, 1, 1e15);
  }
  if (config.local_rope.type != RopeConfig::Type::kDefault)
    root.fail(ErrorCode::kUnsupported,
              "rope_parameters.sliding_attention: found a scaled rope, expected the default one");
  int64_t pattern = int_or(root, "sliding_window_pattern", 6, 1, kMaxLayers);
  pattern = int_or(root, "_sliding_window_pattern", pattern, 1, kMaxLayers);
  read_common(root, config, pattern);
}

void write_gemma3(const ModelConfig& config, JsonValue& out) {
  write_common(config, out);
  out["rope_local_base_freq"] = config.local_rope.theta;
}

constexpr std::string_view kBenign[] = {"sliding_window_size", "hidden_act"};

}  // namespace

const FamilyReader kGemma2Reader = {Family::kGemma2, "Gemma2ForCausalLM", read_gemma2,
                                    write_common,    gemma2_defaults,     kBenign};
const FamilyReader kGemma3Reader = {Family::kGemma3, "Gemma3ForCausalLM", read_gemma3,
                                    write_gemma3,    gemma3_defaults,     kBenign};

}  // namespace hoist::io
