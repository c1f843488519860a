#include "io/model_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "io/config/family.h"
#include "io/files.h"
#include "io/json_value.h"

namespace hoist::io {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;

// In the order of Family.
constexpr const FamilyReader* kReaders[] = {
    &kGpt2Reader, &kLlamaReader,  &kMistralReader, &kSmollm3Reader, &kQwen2Reader,    &kQwen3Reader,
    &kPhi3Reader, &kGemma2Reader, &kGemma3Reader,  &kMixtralReader, &kQwen2MoeReader, &kQwen3MoeReader};
constexpr Family kFamilies[] = {Family::kGpt2,   Family::kLlama,   Family::kMistral,  Family::kSmollm3,
                                Family::kQwen2,  Family::kQwen3,   Family::kPhi3,     Family::kGemma2,
                                Family::kGemma3, Family::kMixtral, Family::kQwen2Moe, Family::kQwen3Moe};
constexpr std::string_view kNames[] = {"gpt2", "llama",  "mistral",     "smollm3", "qwen2",     "qwen3",
                                       "phi3", "gemma2", "gemma3_text", "mixtral", "qwen2_moe", "qwen3_moe"};
static_assert(std::size(kReaders) == std::size(kFamilies) && std::size(kReaders) == std::size(kNames));

const FamilyReader& reader_of(Family family) {
  const FamilyReader& reader = *kReaders[static_cast<size_t>(family)];
  HOIST_CHECK(reader.family == family, "family readers out of order");
  return reader;
}

const FamilyReader& choose_reader(const Json& root) {
  const Json type = root.at("model_type");
  const std::string_view name = type.as_string();
  for (Family family : kFamilies) {
    if (name != family_name(family)) continue;
    const FamilyReader& reader = reader_of(family);
    const auto architectures = root.find("architectures");
    if (architectures && !architectures->is_null() && architectures->size() > 0)
      for (const Json architecture : architectures->elements())
        if (architecture.as_string() != reader.architecture)
          architecture.fail(
              ErrorCode::kUnsupported,
              fmt::format("found {}, expected {}", architecture.excerpt(), reader.architecture));
    return reader;
  }
  type.fail(ErrorCode::kUnsupported, fmt::format("found {}, expected {}", type.excerpt(), family_list()));
}

struct TorchName {
  std::string_view name;
  DType dtype;
};
constexpr TorchName kTorchNames[] = {{"float32", DType::f32},   {"float", DType::f32},
                                     {"bfloat16", DType::bf16}, {"float16", DType::f16},
                                     {"half", DType::f16},      {"float64", DType::f64}};

void read_dtype(const Json& root, ModelConfig& config) {
  // `dtype` wins over the older `torch_dtype`, as in transformers. "auto" says nothing.
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto value = root.find(key);
    if (!value || value->is_null()) continue;
    std::string_view name = value->as_string();
    if (name.starts_with("torch.")) name.remove_prefix(6);
    if (name == "auto") continue;
    bool known = false;
    for (const TorchName& entry : kTorchNames) {
      if (entry.name != name) continue;
      config.dtype = entry.dtype;
      known = true;
    }
    if (!known)
      value->fail(ErrorCode::kUnsupported,
                  fmt::format("found {}, expected float32, bfloat16, float16 or float64", value->excerpt()));
  }
}

JsonValue token_ids(const std::vector<int64_t>& ids, bool is_list) {
  if (ids.empty() && !is_list) return nullptr;
  if (ids.size() == 1 && !is_list) return ids[0];
  return ids;
}

template <class T>
JsonValue or_null(const std::optional<T>& value) {
  return value ? JsonValue(*value) : JsonValue(nullptr);
}

void write_kept(const KeptKeys& kept, JsonValue& out) {
  for (const auto& [key, text] : kept)
    if (!out.contains(key)) out[key] = JsonValue::from_text(text);
}

JsonDocument parse_config_text(std::string_view json, const std::string& source) {
  JsonOptions options;
  options.max_bytes = kMaxConfigBytes;
  JsonDocument doc = JsonDocument::parse(json, source, options);
  if (!doc.root().is_object()) doc.root().refuse("an object");
  return doc;
}

}  // namespace

std::string_view family_name(Family family) { return kNames[static_cast<size_t>(family)]; }

std::span<const Family> all_families() { return kFamilies; }

std::string family_list() {
  std::string out;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (i) out += i + 1 < std::size(kNames) ? ", " : " or ";
    out += kNames[i];
  }
  return out;
}

int64_t ModelConfig::longest_context() const {
  if (rope.type != RopeConfig::Type::kDynamic) return max_position;
  return std::min(kMaxPositions, static_cast<int64_t>(static_cast<double>(max_position) * rope.factor));
}

int64_t ModelConfig::usual_context() const {
  return rope.type == RopeConfig::Type::kLongrope ? std::min(max_position, rope.original_max_position)
                                                  : max_position;
}

ModelConfig default_model_config(Family family) { return reader_of(family).defaults(); }

ModelConfig parse_model_config(std::string_view json, const std::string& source) {
  const JsonDocument doc = parse_config_text(json, source);
  const Json root = doc.root();
  const FamilyReader& reader = choose_reader(root);
  ModelConfig config = reader.defaults();
  reader.read(root, config);
  read_bool(root, "tie_word_embeddings", config.tie_word_embeddings);
  read_double(root, "initializer_range", config.initializer_range, 0, 1);
  read_token_id(root, "bos_token_id", config.bos_id);
  read_token_id(root, "pad_token_id", config.pad_id);
  read_token_ids(root, "eos_token_id", config.eos_ids, config.eos_is_list);
  read_dtype(root, config);
  require_neutral(root, "is_encoder_decoder", "false");
  require_neutral(root, "quantization_config", "null");
  check_heads(root, config);
  check_rope(root, config);
  config.kept = keep_the_rest(root, reader.benign);
  return config;
}

ModelConfig load_model_config(const std::string& folder) {
  const std::string path = join_path(folder, "config.json");
  return parse_model_config(read_file(path, kMaxConfigBytes), path);
}

std::string write_model_config(const ModelConfig& config) {
  const FamilyReader& reader = reader_of(config.family);
  JsonValue out;
  out["architectures"] = {reader.architecture};
  out["model_type"] = family_name(config.family);
  reader.write(config, out);
  out["tie_word_embeddings"] = config.tie_word_embeddings;
  out["initializer_range"] = config.initializer_range;
  out["bos_token_id"] = or_null(config.bos_id);
  out["eos_token_id"] = token_ids(config.eos_ids, config.eos_is_list);
  out["pad_token_id"] = or_null(config.pad_id);
  if (config.dtype)
    for (const TorchName& entry : kTorchNames)
      if (entry.dtype == *config.dtype && !out.contains("torch_dtype")) out["torch_dtype"] = entry.name;
  write_kept(config.kept, out);
  std::string text = out.dump(2) + "\n";
  parse_model_config(text, "config.json");
  return text;
}

GenerationConfig parse_generation_config(std::string_view json, const std::string& source) {
  const JsonDocument doc = parse_config_text(json, source);
  const Json root = doc.root();
  GenerationConfig config;
  const auto number = [&](std::string_view key, std::optional<double>& field, double low, double high) {
    const auto value = root.find(key);
    if (value && !value->is_null()) field = value->as_double(low, high);
  };
  const auto integer = [&](std::string_view key, std::optional<int64_t>& field, int64_t low, int64_t high) {
    const auto value = root.find(key);
    if (value && !value->is_null()) field = value->as_int(low, high);
  };
  const auto do_sample = root.find("do_sample");
  if (do_sample && !do_sample->is_null()) config.do_sample = do_sample->as_bool();
  number("temperature", config.temperature, 0, 1e4);
  number("top_p", config.top_p, 0, 1);
  number("min_p", config.min_p, 0, 1);
  number("repetition_penalty", config.repetition_penalty, 1e-3, 1e3);
  integer("top_k", config.top_k, 0, kMaxVocab);
  integer("max_new_tokens", config.max_new_tokens, 0, kMaxPositions);
  integer("max_length", config.max_length, 0, kMaxPositions);
  read_token_id(root, "bos_token_id", config.bos_id);
  read_token_id(root, "pad_token_id", config.pad_id);
  read_token_ids(root, "eos_token_id", config.eos_ids, config.eos_is_list);
  for (const auto& [key, value] : root.unread_members()) config.kept.emplace_back(key, value.dump());
  return config;
}

GenerationConfig load_generation_config(const std::string& folder) {
  const std::string path = join_path(folder, "generation_config.json");
  if (!path_exists(path)) return {};
  return parse_generation_config(read_file(path, kMaxConfigBytes), path);
}

std::string write_generation_config(const GenerationConfig& config) {
  JsonValue out = JsonValue::object();
  const auto put = [&](const char* key, const auto& field) {
    if (field) out[key] = *field;
  };
  put("bos_token_id", config.bos_id);
  if (!config.eos_ids.empty() || config.eos_is_list)
    out["eos_token_id"] = token_ids(config.eos_ids, config.eos_is_list);
  put("pad_token_id", config.pad_id);
  put("do_sample", config.do_sample);
  put("temperature", config.temperature);
  put("top_k", config.top_k);
  put("top_p", config.top_p);
  put("min_p", config.min_p);
  put("repetition_penalty", config.repetition_penalty);
  put("max_new_tokens", config.max_new_tokens);
  put("max_length", config.max_length);
  write_kept(config.kept, out);
  return out.dump(2) + "\n";
}

}  // namespace hoist::io
