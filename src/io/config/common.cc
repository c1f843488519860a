// The getters of io/config/family.h, and what the Llama-shaped families have in common.
#include <fmt/format.h>

#include "io/config/family.h"
#include "io/json_value.h"

namespace hoist::io {

void read_int(const Json& root, std::string_view key, int64_t& field, int64_t low, int64_t high,
              std::string_view alias) {
  const auto value = root.find(key);
  if (value) field = value->as_int(low, high);
  if (alias.empty()) return;
  const auto other = root.find(alias);
  if (!other) return;
  const int64_t x = other->as_int(low, high);
  if (value && x != field) other->refuse(fmt::format("{}, the value of {}", field, key));
  field = x;
}

void read_double(const Json& root, std::string_view key, double& field, double low, double high) {
  if (const auto value = root.find(key)) field = value->as_double(low, high);
}

void read_bool(const Json& root, std::string_view key, bool& field) {
  if (const auto value = root.find(key)) field = value->as_bool();
}

int64_t int_or(const Json& root, std::string_view key, int64_t otherwise, int64_t low, int64_t high) {
  const auto value = root.find(key);
  return value && !value->is_null() ? value->as_int(low, high) : otherwise;
}

void read_activation(const Json& root, std::string_view key, ModelConfig& config) {
  static constexpr std::pair<std::string_view, Activation> kNames[] = {
      {"silu", Activation::kSilu},
      {"swish", Activation::kSilu},
      {"gelu", Activation::kGelu},
      {"gelu_python", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"gelu_python_tanh", Activation::kGeluTanh},
      {"relu", Activation::kRelu},
  };
  const auto value = root.find(key);
  if (!value) return;
  const std::string_view text = value->as_string();
  for (const auto& [name, activation] : kNames) {
    if (text != name) continue;
    config.activation = activation;
    config.activation_text = text;
    return;
  }
  value->fail(
      ErrorCode::kUnsupported,
      fmt::format("found {}, expected silu, gelu, gelu_new, gelu_pytorch_tanh or relu", value->excerpt()));
}

void read_token_ids(const Json& root, std::string_view key, std::vector<int64_t>& ids, bool& is_list) {
  const auto value = root.find(key);
  if (!value) return;
  ids.clear();
  is_list = value->is_array();
  if (value->is_null()) return;
  if (!is_list) {
    ids.push_back(value->as_int(-1, kMaxVocab));
  } else {
    if (value->size() > 1024) value->refuse("at most 1024 ids");
    for (const Json id : value->elements()) ids.push_back(id.as_int(-1, kMaxVocab));
  }
}

void read_token_id(const Json& root, std::string_view key, std::optional<int64_t>& id) {
  const auto value = root.find(key);
  if (!value) return;
  id.reset();
  if (!value->is_null()) id = value->as_int(-1, kMaxVocab);
}

void require_neutral(const Json& root, std::string_view key, std::string_view neutral) {
  const auto value = root.find(key);
  if (!value || value->is_null()) return;
  if (value->dump() == neutral) return;
  if (value->is_number() && JsonDocument::parse(neutral, "").root().is_number()) {
    const double x = JsonDocument::parse(neutral, "").root().as_double(-1e300, 1e300);
    if (value->as_double(-1e300, 1e300) == x) return;
  }
  value->fail(ErrorCode::kUnsupported,
              fmt::format("found {}, which we do not compute (only {})", value->excerpt(),
                          neutral == "null" ? "null or no such key" : neutral));
}

void refuse_sliding_window(const Json& root, const ModelConfig& config) {
  require_neutral(root, "use_sliding_window", "false");
  const auto types = root.find("layer_types");
  if (!types || types->is_null()) return;
  if (types->size() != static_cast<size_t>(config.layers))
    types->refuse(fmt::format("{} entries, one for each layer", config.layers));
  for (const Json type : types->elements())
    if (type.as_string() != "full_attention")
      type.fail(ErrorCode::kUnsupported,
                fmt::format("found {}, which we do not compute (only \"full_attention\")", type.excerpt()));
}

void read_layer_types(const Json& root, ModelConfig& config) {
  const auto types = root.find("layer_types");
  if (!types || types->is_null()) return;
  if (types->size() != static_cast<size_t>(config.layers))
    types->refuse(fmt::format("{} entries, one for each layer", config.layers));
  config.slides.clear();
  for (const Json type : types->elements()) {
    const std::string_view name = type.as_string();
    if (name != "full_attention" && name != "sliding_attention")
      type.fail(ErrorCode::kUnsupported,
                fmt::format("found {}, expected full_attention or sliding_attention", type.excerpt()));
    config.slides.push_back(name == "sliding_attention");
  }
}

void write_layer_types(const ModelConfig& config, JsonValue& out) {
  std::vector<std::string> types;
  for (int64_t i = 0; i < config.layers; ++i)
    types.emplace_back(config.slides.empty() || ModelConfig::in_list(config.slides, i) ? "sliding_attention"
                                                                                       : "full_attention");
  out["layer_types"] = types;
}

void read_window(const Json& root, ModelConfig& config, int64_t otherwise) {
  const auto window = root.find("sliding_window");
  config.window = !window ? otherwise : window->is_null() ? 0 : window->as_int(1, kMaxPositions);
}

void write_window(const ModelConfig& config, JsonValue& out) {
  if (config.window > 0)
    out["sliding_window"] = config.window;
  else
    out["sliding_window"] = nullptr;
}

void check_heads(const Json& root, const ModelConfig& config) {
  const auto refuse = [&](const std::string& message) { root.fail(ErrorCode::kInvalidArgument, message); };
  if (config.heads % config.kv_heads != 0)
    refuse(fmt::format("num_key_value_heads: found {}, expected a divisor of num_attention_heads ({})",
                       config.kv_heads, config.heads));
  if (config.uses_rope() && config.head_dim % 2 != 0)
    refuse(fmt::format("head_dim: found {}, expected an even number, because rope turns pairs",
                       config.head_dim));
  if (config.heads * config.head_dim > kMaxWidth * 4)
    refuse(fmt::format("num_attention_heads * head_dim: found {}, expected at most {}",
                       config.heads * config.head_dim, kMaxWidth * 4));
}

void read_sizes(const Json& root, ModelConfig& config) {
  read_int(root, "vocab_size", config.vocab, 1, kMaxVocab);
  read_int(root, "hidden_size", config.hidden, 1, kMaxWidth);
  read_int(root, "intermediate_size", config.intermediate, 1, kMaxIntermediate);
  read_int(root, "num_hidden_layers", config.layers, 1, kMaxLayers);
  read_int(root, "num_attention_heads", config.heads, 1, kMaxHeads);
  read_int(root, "max_position_embeddings", config.max_position, 1, kMaxPositions);
  read_double(root, "rms_norm_eps", config.norm_eps, 0, 1);
  read_double(root, "attention_dropout", config.attention_dropout, 0, 1);
}

void read_llama_shape(const Json& root, ModelConfig& config) {
  read_sizes(root, config);
  if (!config.gemma()) read_activation(root, "hidden_act", config);
  read_rope(root, config);
}

void read_head_dim(const Json& root, ModelConfig& config) {
  const auto head_dim = root.find("head_dim");
  if (head_dim && !head_dim->is_null()) {
    config.head_dim = head_dim->as_int(1, kMaxHeadDim);
    return;
  }
  if (config.hidden % config.heads != 0 || config.hidden / config.heads > kMaxHeadDim)
    root.fail(ErrorCode::kInvalidArgument,
              fmt::format("hidden_size: found {}, expected a multiple of num_attention_heads ({}) with heads "
                          "of at most {}",
                          config.hidden, config.heads, kMaxHeadDim));
  config.head_dim = config.hidden / config.heads;
}

void write_llama_shape(const ModelConfig& config, JsonValue& out) {
  out["vocab_size"] = config.vocab;
  out["hidden_size"] = config.hidden;
  out["intermediate_size"] = config.intermediate;
  out["num_hidden_layers"] = config.layers;
  out["num_attention_heads"] = config.heads;
  out["num_key_value_heads"] = config.kv_heads;
  out["head_dim"] = config.head_dim;
  out["max_position_embeddings"] = config.max_position;
  out["rms_norm_eps"] = config.norm_eps;
  out["attention_dropout"] = config.attention_dropout;
  if (!config.gemma()) out["hidden_act"] = config.activation_text;
  write_rope(config, out);
}

KeptKeys keep_the_rest(const Json& root, std::span<const std::string_view> benign) {
  // A key we have never heard of is kept, unless its name says that it may change what is computed and its
  // value says that it does. Better a refusal by name than plausible but wrong logits.
  static constexpr std::string_view kArithmetic[] = {
      "scale", "scaling",   "multiplier", "softcap",  "rope",   "rotary", "window", "expert",
      "moe",   "norm",      "bias",       "alibi",    "clip",   "sink",   "quant",  "mup",
      "attn",  "attention", "head",       "residual", "layers", "router", "mlp",    "lora",
      "conv",  "ssm",       "latent",     "vision",   "audio"};
  KeptKeys kept;
  for (const auto& [key, value] : root.unread_members()) {
    std::string text = value.dump();
    bool arithmetic = text != "null" && text != "false" && text != "{}" && text != "[]";
    for (std::string_view name : benign) arithmetic = arithmetic && key != name;
    if (arithmetic)
      for (std::string_view word : kArithmetic)
        if (key.find(word) != std::string_view::npos)
          value.fail(
              ErrorCode::kUnsupported,
              fmt::format("found {}: a key unknown to us whose name says that it may change what the model "
                          "computes",
                          value.excerpt()));
    kept.emplace_back(key, std::move(text));
  }
  return kept;
}

}  // namespace hoist::io
