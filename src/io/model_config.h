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
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace hoist::io {

enum class Family : uint8_t {
  kGpt2,
  kLlama,  // SmolLM and SmolLM2 too
  kMistral,
  kSmollm3,
  kQwen2,
  kQwen3,
  kPhi3,  // Phi-4 too
  kGemma2,
  kGemma3,  // its text model
  kMixtral,
  kQwen2Moe,
  kQwen3Moe,
};
std::string_view family_name(Family family);  // as in model_type: "gpt2", ...
std::span<const Family> all_families();
std::string family_list();  // "gpt2, llama, ... or qwen3_moe", for messages

enum class Activation : uint8_t {
  kSilu,      // silu, swish
  kGelu,      // gelu: by erf
  kGeluTanh,  // gelu_new, gelu_pytorch_tanh: the tanh formula
  kRelu,
};

struct RopeConfig {
  enum class Type : uint8_t { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLongrope };
  Type type = Type::kDefault;
  double theta = 10000;
  double factor = 1;                     // linear, dynamic, llama3, yarn: >= 1
  double low_freq_factor = 1;            // llama3
  double high_freq_factor = 4;           // llama3: > low_freq_factor
  int64_t original_max_position = 8192;  // llama3, yarn, longrope
  double beta_fast = 32, beta_slow = 1;  // yarn: turns within the original length between which it blends
  bool truncate = true;                  // yarn: the blend begins and ends at whole channels
  double attention_factor = 1;           // yarn, longrope: of cosine and sine
  // longrope: divisors of the frequencies, one for each pair of channels that turns; the first for contexts
  // up to original_max_position, the second for longer ones.
  std::vector<double> short_factor, long_factor;
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
  RopeConfig local_rope;                 // gemma3: of the layers that slide
  double partial_rotary = 1;             // phi3: the share of a head's channels that turn, the first ones
  std::vector<bool> unrotated;           // smollm3: by layer, those without rope; empty: none
  // Layers that slide see the last `window` positions only, their own included.
  int64_t window = 0;        // 0: no layer slides
  std::vector<bool> slides;  // by layer; empty: every layer, where there is a window
  bool qkv_bias = false;
  bool out_bias = false;  // of the attention's output projection
  bool mlp_bias = false;
  bool qk_norm = false;              // RMS norm of q and k over head_dim, before rope
  bool scale_attention = true;       // scores divided by sqrt(head_dim)
  double attention_scalar = 0;       // not 0: by the square root of this instead (query_pre_attn_scalar)
  double attention_softcap = 0;      // c > 0: scores become c tanh(score / c)
  double final_softcap = 0;          // and logits
  bool tie_word_embeddings = false;  // the head is the embedding table
  // Mixture of experts: each token's MLP is a weighted sum of `experts_per_token` of `experts`.
  int64_t experts = 0, experts_per_token = 0, expert_intermediate = 0;
  int64_t shared_intermediate = 0;  // of one more, which every token takes by a gate of its own; 0: none
  bool norm_topk = false;           // the chosen experts' weights are divided by their sum
  std::vector<bool> dense;          // by layer, those with an MLP of `intermediate` instead; empty: none
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
  bool gemma() const { return family == Family::kGemma2 || family == Family::kGemma3; }
  bool norm_offset() const { return gemma(); }       // norm weights are stored less one
  bool post_norms() const { return gemma(); }        // a branch's result is normalized too
  bool scaled_embedding() const { return gemma(); }  // embeddings times sqrt(hidden)
  int64_t rotary_dim() const {                       // channels of a head that turn
    return static_cast<int64_t>(static_cast<double>(head_dim) * partial_rotary);
  }
  bool layer_slides(int64_t i) const { return window > 0 && (slides.empty() || in_list(slides, i)); }
  int64_t layer_window(int64_t i) const { return layer_slides(i) ? window : 0; }
  bool layer_rotates(int64_t i) const { return uses_rope() && !in_list(unrotated, i); }
  bool local_layer(int64_t i) const { return family == Family::kGemma3 && layer_slides(i); }
  bool moe_layer(int64_t i) const { return experts > 0 && !in_list(dense, i); }
  // Positions a caller may ask for, and what is offered unasked: under longrope a longer context changes what
  // short texts compute.
  static bool in_list(const std::vector<bool>& layers, int64_t i) {
    return i >= 0 && i < static_cast<int64_t>(layers.size()) && layers[static_cast<size_t>(i)];
  }
  int64_t longest_context() const;
  int64_t usual_context() const;
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
