// Metadata of a GGUF file to ModelConfig and back.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "io/config/family.h"
#include "io/gguf_model.h"

namespace hoist::io {
namespace {

constexpr std::pair<std::string_view, Family> kArchitectures[] = {
    {"llama", Family::kLlama}, {"qwen2", Family::kQwen2}, {"qwen3", Family::kQwen3}, {"gpt2", Family::kGpt2}};

const GgufTensor* find_tensor(const GgufSet& set, std::string_view name) {
  for (const auto& part : set.parts())
    for (const GgufTensor& tensor : part->tensors())
      if (tensor.name == name) return &tensor;
  return nullptr;
}

// Getters for keys below the architecture's name; what was asked for is remembered, so that the rest can be
// looked at.
class Keys {
 public:
  Keys(const GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), prefix_(std::string(architecture) + ".") {}

  std::string name(std::string_view key) const { return prefix_ + std::string(key); }

  // A number, or an array that gives every layer the same one.
  std::optional<int64_t> integer(std::string_view key, int64_t low, int64_t high) {
    const std::string full = name(key);
    read_.insert(full);
    const GgufValue* value = metadata_.find(full);
    if (!value || !value->is_array) return metadata_.integer(full, low, high);
    std::optional<int64_t> same;
    for (uint64_t i = 0; i < value->count; ++i) {
      const auto x = value->is_integer() ? value->integer(i) : std::nullopt;
      if (!x || *x < low || *x > high)
        metadata_.refuse(full, fmt::format("whole numbers from {} to {}", low, high));
      if (same && *same != *x)
        throw_unsupported(
            fmt::format("{}: {}: found {}, which differs from layer to layer, expected one number",
                        metadata_.source(), full, value->excerpt()));
      same = x;
    }
    return same;
  }
  int64_t need(std::string_view key, int64_t low, int64_t high) {
    const auto x = integer(key, low, high);
    if (!x) metadata_.at(name(key));
    return *x;
  }
  std::optional<double> number(std::string_view key, double low, double high) {
    read_.insert(name(key));
    return metadata_.number(name(key), low, high);
  }
  std::optional<std::string_view> text(std::string_view key) {
    read_.insert(name(key));
    return metadata_.text(name(key));
  }
  void benign(std::string_view key) { read_.insert(name(key)); }

  // Whatever nobody asked for may change what the model computes, unless it says nothing.
  void refuse_the_rest() const {
    for (const auto& [key, value] : metadata_.entries()) {
      if (!key.starts_with(prefix_) || read_.contains(key)) continue;
      const auto x = value.is_array ? std::nullopt : value.number();
      if (x && *x == 0) continue;
      throw_unsupported(fmt::format(
          "{}: {}: found {}: a key that may change what the model computes and that we do not know",
          metadata_.source(), key, value.excerpt()));
    }
  }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
  std::set<std::string, std::less<>> read_;
};

// Divisors of the frequencies under Llama 3's rule, each rounded to f32 as converters store them.
std::vector<float> llama3_factors(const RopeConfig& rope, int64_t head_dim) {
  constexpr double kTurn = 6.283185307179586477;
  std::vector<float> out;
  const auto old = static_cast<double>(rope.original_max_position);
  for (int64_t j = 0; j < head_dim / 2; ++j) {
    const double wave =
        kTurn * std::pow(rope.theta, 2.0 * static_cast<double>(j) / static_cast<double>(head_dim));
    double factor = 1;
    if (wave > old / rope.low_freq_factor) {
      factor = rope.factor;
    } else if (wave >= old / rope.high_freq_factor) {
      const double smooth =
          (old / wave - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      factor = 1 / ((1 - smooth) / rope.factor + smooth);
    }
    out.push_back(static_cast<float>(factor));
  }
  return out;
}

// A file holds the divisors that Llama 3's rule gives, not the rule's numbers: finds numbers that give them.
void read_rope_factors(const GgufSet& set, int64_t head_dim, int64_t original, RopeConfig& rope) {
  for (const auto& part : set.parts())
    for (const GgufTensor& tensor : part->tensors()) {
      if (tensor.name != "rope_freqs.weight") continue;
      const std::string where = part->path() + ": rope_freqs.weight";
      if (tensor.type->dtype != DType::f32 || tensor.dims != std::vector<int64_t>{head_dim / 2})
        throw_corrupt(fmt::format("{}: found {} [{}], expected F32 [{}]", where, tensor.type->name,
                                  fmt::join(tensor.dims, ", "), head_dim / 2));
      std::vector<float> found(static_cast<size_t>(head_dim / 2));
      part->read(tensor, 0, tensor.bytes, found.data());
      const auto reproduces = [&](const RopeConfig& candidate) {
        const std::vector<float> factors = llama3_factors(candidate, head_dim);
        for (size_t j = 0; j < found.size(); ++j)
          if (!(std::abs(factors[j] - found[j]) <= 1e-5f * std::abs(found[j]))) return false;
        return true;
      };
      if (std::all_of(found.begin(), found.end(), [](float x) { return x == 1.0f; })) return;
      if (rope.type != RopeConfig::Type::kDefault)
        throw_unsupported(where + ": found divisors beside rope.scaling.type, expected one of them");
      RopeConfig candidate = rope;
      candidate.type = RopeConfig::Type::kLlama3;
      candidate.factor = found.back();
      std::vector<int64_t> lengths{8192};
      if (original > 0) lengths.insert(lengths.begin(), original);
      for (int64_t n = 1; n <= kMaxPositions; n *= 2) lengths.push_back(n);
      if (candidate.factor >= 1 && candidate.factor <= 1e6)
        for (int64_t length : lengths)
          for (double high : {4.0, 2.0, 8.0, 32.0}) {
            candidate.original_max_position = length;
            candidate.high_freq_factor = high;
            if (!reproduces(candidate)) continue;
            rope = candidate;
            return;
          }
      throw_unsupported(
          fmt::format("{}: found divisors from {} to {} that are not Llama 3's rule, the one we compute",
                      where, found.front(), found.back()));
    }
}

void read_rope_keys(const GgufSet& set, Keys& keys, int64_t head_dim, RopeConfig& rope) {
  const GgufMetadata& metadata = set.metadata();
  rope.theta = keys.number("rope.freq_base", 1, 1e15).value_or(10000);
  if (const auto n = keys.integer("rope.dimension_count", 0, kMaxHeadDim); n && *n != head_dim)
    throw_unsupported(
        fmt::format("{}: {}: found {}, expected {}: rope over a part of a head is not something we compute",
                    metadata.source(), keys.name("rope.dimension_count"), *n, head_dim));
  const std::string_view type = keys.text("rope.scaling.type").value_or("none");
  auto factor = keys.number("rope.scaling.factor", 0, 1e6);
  if (const auto old = keys.number("rope.scale_linear", 0, 1e6); old && !factor)
    factor = old;  // files of 2023
  const int64_t original = keys.integer("rope.scaling.original_context_length", 0, kMaxPositions).value_or(0);
  keys.benign("rope.scaling.finetuned");
  if (const auto x = keys.number("rope.scaling.attn_factor", 0, 1e6); x && *x != 1 && *x != 0)
    metadata.refuse(keys.name("rope.scaling.attn_factor"), "1");
  if (type != "none" && type != "linear")
    throw_unsupported(fmt::format("{}: {}: found {}, expected none or linear", metadata.source(),
                                  keys.name("rope.scaling.type"),
                                  metadata.at(keys.name("rope.scaling.type")).excerpt()));
  if (factor && *factor != 1 && *factor != 0 &&
      (type == "linear" || !metadata.find(keys.name("rope.scaling.type")))) {
    if (*factor < 1) metadata.refuse(keys.name("rope.scaling.factor"), "at least 1");
    rope.type = RopeConfig::Type::kLinear;
    rope.factor = *factor;
  }
  read_rope_factors(set, head_dim, original, rope);
}

std::optional<int64_t> token_id(const GgufMetadata& metadata, std::string_view which) {
  return metadata.integer(fmt::format("tokenizer.ggml.{}_token_id", which), 0, kMaxVocab);
}

}  // namespace

ModelConfig read_gguf_config(const GgufSet& set) {
  const GgufMetadata& metadata = set.metadata();
  metadata.at("general.architecture");
  const std::string_view architecture = *metadata.text("general.architecture");
  ModelConfig c;
  bool known = false;
  for (const auto& [name, family] : kArchitectures)
    if (architecture == name) {
      c.family = family;
      known = true;
    }
  if (!known)
    throw_unsupported(fmt::format("{}: general.architecture: found {}, expected llama, qwen2, qwen3 or gpt2",
                                  metadata.source(), metadata.at("general.architecture").excerpt()));
  Keys keys(metadata, architecture);
  const auto refuse = [&](std::string_view key, const std::string& message) {
    throw_unsupported(fmt::format("{}: {}: {}", metadata.source(), keys.name(key), message));
  };
  c.layers = keys.need("block_count", 1, kMaxLayers);
  c.hidden = keys.need("embedding_length", 1, kMaxWidth);
  c.intermediate = keys.need("feed_forward_length", 1, kMaxIntermediate);
  c.max_position = keys.need("context_length", 1, kMaxPositions);
  c.heads = keys.need("attention.head_count", 1, kMaxHeads);
  c.kv_heads = keys.integer("attention.head_count_kv", 1, kMaxHeads).value_or(c.heads);
  if (c.heads % c.kv_heads != 0)
    metadata.refuse(keys.name("attention.head_count_kv"),
                    fmt::format("a divisor of head_count ({})", c.heads));
  const auto head_dim = keys.integer("attention.key_length", 1, kMaxHeadDim);
  if (!head_dim && c.hidden % c.heads != 0)
    metadata.refuse(keys.name("embedding_length"), fmt::format("a multiple of head_count ({})", c.heads));
  c.head_dim = head_dim.value_or(c.hidden / c.heads);
  if (c.head_dim > kMaxHeadDim || c.heads * c.head_dim > kMaxWidth * 4 ||
      (c.uses_rope() && c.head_dim % 2 != 0))
    refuse("attention.key_length",
           fmt::format("found heads of {}, expected an even number up to {}", c.head_dim, kMaxHeadDim));
  if (const auto n = keys.integer("attention.value_length", 1, kMaxHeadDim); n && *n != c.head_dim)
    refuse("attention.value_length", fmt::format("found {}, expected {}, the width of keys", *n, c.head_dim));

  const GgufTensor* embedding = find_tensor(set, "token_embd.weight");
  if (!embedding || embedding->dims.size() != 2)
    throw_not_found(set.path() + ": found no matrix token_embd.weight, which every model has");
  c.vocab = embedding->dims[1];
  if (c.vocab < 1 || c.vocab > kMaxVocab)
    throw_corrupt(fmt::format("{}: token_embd.weight: found {} rows, expected 1 to {}", set.path(), c.vocab,
                              kMaxVocab));
  keys.benign("vocab_size");  // the table's rows are what counts
  c.tie_word_embeddings = find_tensor(set, "output.weight") == nullptr;
  c.bos_id = token_id(metadata, "bos");
  c.pad_id = token_id(metadata, "padding");
  if (const auto eos = token_id(metadata, "eos")) c.eos_ids = {*eos};

  if (c.family == Family::kGpt2) {
    c.norm_eps = keys.number("attention.layer_norm_epsilon", 0, 1).value_or(1e-5);
    c.activation = Activation::kGeluTanh;
    c.activation_text = "gelu_new";
    if (c.kv_heads != c.heads)
      refuse("attention.head_count_kv", "found fewer than head_count, expected as many");
  } else {
    c.norm_eps = keys.number("attention.layer_norm_rms_epsilon", 0, 1).value_or(1e-5);
    read_rope_keys(set, keys, c.head_dim, c.rope);
    c.qkv_bias = find_tensor(set, "blk.0.attn_q.bias") != nullptr;
    c.out_bias = find_tensor(set, "blk.0.attn_output.bias") != nullptr;
    c.mlp_bias = find_tensor(set, "blk.0.ffn_gate.bias") != nullptr;
    c.qk_norm = c.family == Family::kQwen3;
    // Up to the window's width a window changes nothing; so far, and no farther, do we compute.
    if (const auto window = keys.integer("attention.sliding_window", 0, kMaxPositions); window && *window > 0)
      c.max_position = std::min(c.max_position, *window);
  }
  keys.benign("tensor_data_layout");
  keys.benign("attention.causal");
  if (!metadata.boolean(keys.name("attention.causal")).value_or(true))
    refuse("attention.causal", "found false, expected true: every token would see the ones behind it");
  keys.refuse_the_rest();
  return c;
}

GenerationConfig read_gguf_generation(const GgufSet& set) {
  GenerationConfig g;
  for (const char* which : {"eos", "eot", "eom"})
    if (const auto id = token_id(set.metadata(), which))
      if (std::find(g.eos_ids.begin(), g.eos_ids.end(), *id) == g.eos_ids.end()) g.eos_ids.push_back(*id);
  g.bos_id = token_id(set.metadata(), "bos");
  return g;
}

std::vector<float> gguf_rope_factors(const ModelConfig& config) {
  if (!config.uses_rope() || config.rope.type != RopeConfig::Type::kLlama3) return {};
  return llama3_factors(config.rope, config.head_dim);
}

void write_gguf_config(const ModelConfig& c, GgufMetadata& out) {
  std::string a;
  for (const auto& [name, family] : kArchitectures)
    if (c.family == family) a = name;
  const auto unsupported = [&](std::string_view what) {
    throw_unsupported(fmt::format("config.json: {}: GGUF files of architecture {} cannot say it", what, a));
  };
  if (c.activation != (c.family == Family::kGpt2 ? Activation::kGeluTanh : Activation::kSilu))
    unsupported("the activation " + c.activation_text);
  if (!c.scale_attention) unsupported("scale_attn_weights false");
  out.set_text("general.architecture", a);
  out.set_u32(a + ".vocab_size", static_cast<uint64_t>(c.vocab));
  out.set_u32(a + ".context_length", static_cast<uint64_t>(c.max_position));
  out.set_u32(a + ".embedding_length", static_cast<uint64_t>(c.hidden));
  out.set_u32(a + ".block_count", static_cast<uint64_t>(c.layers));
  out.set_u32(a + ".feed_forward_length", static_cast<uint64_t>(c.intermediate));
  out.set_u32(a + ".attention.head_count", static_cast<uint64_t>(c.heads));
  if (c.family == Family::kGpt2) {
    out.set_f32(a + ".attention.layer_norm_epsilon", c.norm_eps);
    return;
  }
  out.set_u32(a + ".attention.head_count_kv", static_cast<uint64_t>(c.kv_heads));
  out.set_u32(a + ".attention.key_length", static_cast<uint64_t>(c.head_dim));
  out.set_u32(a + ".attention.value_length", static_cast<uint64_t>(c.head_dim));
  out.set_f32(a + ".attention.layer_norm_rms_epsilon", c.norm_eps);
  out.set_u32(a + ".rope.dimension_count", static_cast<uint64_t>(c.head_dim));
  out.set_f32(a + ".rope.freq_base", c.rope.theta);
  if (c.rope.type == RopeConfig::Type::kLinear) {
    out.set_text(a + ".rope.scaling.type", "linear");
    out.set_f32(a + ".rope.scaling.factor", c.rope.factor);
  }
}

}  // namespace hoist::io
