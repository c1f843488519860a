// Shared by the family readers under io/config/: getters that know a class default, the rope keys in their
// three spellings, and the refusal of keys that change arithmetic. Private to io/.
#pragma once

#include <span>
#include <string_view>

#include "io/json.h"
#include "io/json_value.h"
#include "io/model_config.h"

namespace hoist::io {

// Wide enough for every published model, small enough that no product of four of them overflows 64 bits.
inline constexpr int64_t kMaxVocab = int64_t{1} << 24;
inline constexpr int64_t kMaxWidth = int64_t{1} << 20;
inline constexpr int64_t kMaxIntermediate = int64_t{1} << 22;
inline constexpr int64_t kMaxLayers = 10000;
inline constexpr int64_t kMaxHeads = 65536;
inline constexpr int64_t kMaxHeadDim = 4096;
inline constexpr int64_t kMaxPositions = int64_t{1} << 27;
inline constexpr int64_t kMaxExperts = 65536;
inline constexpr int64_t kMaxExpertRows = int64_t{1} << 26;     // of all experts of a layer together
inline constexpr int64_t kMaxExpertTensors = int64_t{1} << 18;  // layers times experts

struct FamilyReader {
  Family family;
  std::string_view architecture;                        // the class with the language-model head
  void (*read)(const Json& root, ModelConfig& config);  // config holds the class defaults
  void (*write)(const ModelConfig& config, JsonValue& out);
  ModelConfig (*defaults)();
  std::span<const std::string_view> benign;  // keys of the family that change nothing we compute
};
extern const FamilyReader kGpt2Reader, kLlamaReader, kMistralReader, kSmollm3Reader, kQwen2Reader,
    kQwen3Reader, kPhi3Reader, kGemma2Reader, kGemma3Reader, kMixtralReader, kQwen2MoeReader, kQwen3MoeReader;

// Replace `field` when the key is there. With two names, both may be given if they agree.
void read_int(const Json& root, std::string_view key, int64_t& field, int64_t low, int64_t high,
              std::string_view alias = {});
void read_double(const Json& root, std::string_view key, double& field, double low, double high);
void read_bool(const Json& root, std::string_view key, bool& field);
// Null or absent: `otherwise`.
int64_t int_or(const Json& root, std::string_view key, int64_t otherwise, int64_t low, int64_t high);
void read_activation(const Json& root, std::string_view key, ModelConfig& config);
// An integer, a list of integers, or null.
void read_token_ids(const Json& root, std::string_view key, std::vector<int64_t>& ids, bool& is_list);
void read_token_id(const Json& root, std::string_view key, std::optional<int64_t>& id);
// rope_theta with rope_scaling, or rope_parameters: config.rope, and config.partial_rotary for phi3.
void read_rope(const Json& root, ModelConfig& config);
// One object of rope keys. What they may repeat from outside, and what holds where they do not.
struct RopeOutside {
  double theta = 10000;
  bool theta_given = false;
  int64_t original = 8192;
  bool original_given = false;
  int64_t max_position = 8192;
  double* partial = nullptr;  // where partial_rotary_factor goes; null: it must be 1
};
RopeConfig read_rope_parameters(const Json& value, const RopeOutside& outside);
// rope_theta and rope_scaling, the spelling of version 4, which version 5 still reads.
void write_rope(const ModelConfig& config, JsonValue& out);
// Of the cosine and sine when the keys do not say: Peng et al., "YaRN", 2023; Ding et al., "LongRoPE", 2024.
double default_attention_factor(const RopeConfig& rope, int64_t max_position);
// Relations between rope and the other fields.
void check_rope(const Json& root, const ModelConfig& config);

// Throws kUnsupported naming the key unless it is absent, null, or equal to `neutral` (JSON text).
void require_neutral(const Json& root, std::string_view key, std::string_view neutral);
// use_sliding_window and layer_types of the Qwen families.
void refuse_sliding_window(const Json& root, const ModelConfig& config);
// layer_types, where given, into config.slides.
void read_layer_types(const Json& root, ModelConfig& config);
void write_layer_types(const ModelConfig& config, JsonValue& out);
// Null or absent: no window, but the default where the key is absent.
void read_window(const Json& root, ModelConfig& config, int64_t otherwise);
void write_window(const ModelConfig& config, JsonValue& out);

// What the Llama-shaped families have in common.
void read_sizes(const Json& root, ModelConfig& config);
void read_llama_shape(const Json& root, ModelConfig& config);  // sizes, activation and rope
// head_dim, or where it is absent hidden_size / num_attention_heads.
void read_head_dim(const Json& root, ModelConfig& config);
void write_llama_shape(const ModelConfig& config, JsonValue& out);
// Relations between fields; `root` lends its source to the message.
void check_heads(const Json& root, const ModelConfig& config);

// What no reader asked for, after refusing names that speak of arithmetic; those in `benign` are known not
// to.
KeptKeys keep_the_rest(const Json& root, std::span<const std::string_view> benign);

}  // namespace hoist::io
