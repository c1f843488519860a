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

struct FamilyReader {
  Family family;
  std::string_view architecture;                        // the class with the language-model head
  void (*read)(const Json& root, ModelConfig& config);  // config holds the class defaults
  void (*write)(const ModelConfig& config, JsonValue& out);
  ModelConfig (*defaults)();
  std::span<const std::string_view> benign;  // keys of the family that change nothing we compute
};
extern const FamilyReader kGpt2Reader, kLlamaReader, kQwen2Reader, kQwen3Reader;

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
void read_rope(const Json& root, ModelConfig& config);

// Throws kUnsupported naming the key unless it is absent, null, or equal to `neutral` (JSON text).
void require_neutral(const Json& root, std::string_view key, std::string_view neutral);
// use_sliding_window and layer_types of the Qwen families.
void refuse_sliding_window(const Json& root, const ModelConfig& config);

// What the Llama-shaped families have in common.
void read_llama_shape(const Json& root, ModelConfig& config);
void write_llama_shape(const ModelConfig& config, JsonValue& out);
// Relations between fields; `root` lends its source to the message.
void check_heads(const Json& root, const ModelConfig& config);

// What no reader asked for, after refusing names that speak of arithmetic; those in `benign` are known not
// to.
KeptKeys keep_the_rest(const Json& root, std::span<const std::string_view> benign);

}  // namespace hoist::io
