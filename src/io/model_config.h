// What config.json says about a decoder-only language model, as one plain struct; and generation_config.json.
//
// Entry points: load_model_config, parse_model_config, write_model_config. One file per family under
// io/config/ knows that family's keys and its class defaults. Every number is checked before anything is
// sized by it. A key that would change the arithmetic in a way we do not compute is refused by name; any
// other key we do not use is kept and written back. Source of names and defaults: Hugging Face transformers'
// configuration classes, versions 4 and 5.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace hoist::io {

enum class Family : uint8_t { kGpt2, kLlama, kQwen2, kQwen3 };
std::string_view family_name(Family family);  // as in model_type: "gpt2", ...

enum class Activation : uint8_t {
  kSilu,      // silu, swish
  kGelu,      // gelu: by erf
  kGeluTanh,  // gelu_new, gelu_pytorch_tanh: the tanh formula
  kRelu,
};

struct RopeConfig {
  enum class Type : uint8_t { kDefault, kLinear, kLlama3 };
  Type type = Type::kDefault;
  double theta = 10000;
  double factor = 1;                     // linear, llama3: >= 1
  double low_freq_factor = 1;            // llama3
  double high_freq_factor = 4;           // llama3: > low_freq_factor
  int64_t original_max_position = 8192;  // llama3
  friend bool operator==(const RopeConfig&, const RopeConfig&) = default;
};

// (key, JSON text) of keys we do not use, in the file's order.
using KeptKeys = std::vector<std::pair<std::string, std::string>>;

struct ModelConfig {
  Family family = Family::kLlama;
  int64_t vocab = 0;
  int64_t hidden = 0;        // width of the residual stream
  int64_t intermediate = 0;  // width inside the MLP
  int64_t layers = 0;
  int64_t heads = 0;     // query heads
  int64_t kv_heads = 0;  // divides heads
  int64_t head_dim = 0;  // even where rope is used; heads * head_dim need not be hidden
  int64_t max_position = 0;
  double norm_eps = 1e-5;
  Activation activation = Activation::kSilu;
  std::string activation_text = "silu";  // the file's own word, written back
  RopeConfig rope;                       // not used by gpt2, which learns positions
  bool qkv_bias = false;
  bool out_bias = false;  // of the attention's output projection
  bool mlp_bias = false;
  bool qk_norm = false;              // RMS norm of q and k over head_dim, before rope
  bool scale_attention = true;       // scores divided by sqrt(head_dim)
  bool tie_word_embeddings = false;  // the head is the embedding table
  // In training only; nothing here reads them when serving.
  double attention_dropout = 0, residual_dropout = 0, embedding_dropout = 0;
  double initializer_range = 0.02;
  std::optional<int64_t> bos_id;
  std::vector<int64_t> eos_ids;  // empty: none
  bool eos_is_list = false;      // how the file wrote it
  std::optional<int64_t> pad_id;
  std::optional<DType> dtype;  // of the stored weights, where the file says
  KeptKeys kept;

  bool rms_norm() const { return family != Family::kGpt2; }   // else layer norm with bias
  bool gated_mlp() const { return family != Family::kGpt2; }  // act(gate x) * up x
  bool uses_rope() const { return family != Family::kGpt2; }
};

// A family's class defaults: what absent keys mean, and a start for a new model.
ModelConfig default_model_config(Family family);

// `source` leads every message. Throws kInvalidArgument (a value), kUnsupported (a feature, by name) or
// kCorrupt (not JSON).
ModelConfig parse_model_config(std::string_view json, const std::string& source);
ModelConfig load_model_config(const std::string& folder);  // folder/config.json
// config.json as transformers 4 and 5 read it. Refuses a config that parse_model_config would refuse.
std::string write_model_config(const ModelConfig& config);

// Sampling defaults beside a model; every absent or null key stays empty.
struct GenerationConfig {
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k, max_new_tokens, max_length;
  std::optional<int64_t> bos_id, pad_id;
  std::vector<int64_t> eos_ids;
  bool eos_is_list = false;
  KeptKeys kept;
};

GenerationConfig parse_generation_config(std::string_view json, const std::string& source);
GenerationConfig load_generation_config(const std::string& folder);  // all empty when there is no such file
std::string write_generation_config(const GenerationConfig& config);

}  // namespace hoist::io
