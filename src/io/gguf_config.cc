// Metadata of a GGUF file to ModelConfig and back.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/config/family.h"
#include "io/gguf_keys.h"
#include "io/gguf_model.h"

namespace hoist::io {
namespace {

// Files of Mistral and Mixtral call themselves llama: a window and experts tell them.
constexpr std::pair<std::string_view, Family> kArchitectures[] = {
    {"llama", Family::kLlama},       {"llama", Family::kMistral},     {"llama", Family::kMixtral},
    {"smollm3", Family::kSmollm3},   {"qwen2", Family::kQwen2},       {"qwen3", Family::kQwen3},
    {"qwen2moe", Family::kQwen2Moe}, {"qwen3moe", Family::kQwen3Moe}, {"phi3", Family::kPhi3},
    {"gemma2", Family::kGemma2},     {"gemma3", Family::kGemma3},     {"gpt2", Family::kGpt2}};

// How many layers there are to each that sees everything, in files that do not say.
int64_t usual_period(Family family) { return family == Family::kGemma2 ? 2 : 6; }

// What scores are divided by the square root of. Files do not say; readers know the published models.
double gemma_scalar(const ModelConfig& c) {
  const bool largest = c.layers == (c.family == Family::kGemma2 ? 46 : 62);  // 27B
  return static_cast<double>(largest ? c.hidden / c.heads : c.head_dim);
}

void read_experts(const GgufSet& set, GgufKeys& keys, ModelConfig& c) {
  const GgufMetadata& metadata = set.metadata();
  c.experts = keys.need("expert_count", 1, kMaxExperts);
  c.experts_per_token = keys.need("expert_used_count", 1, c.experts);
  c.expert_intermediate =
      keys.integer("expert_feed_forward_length", 1, kMaxIntermediate).value_or(c.intermediate);
  if (c.experts * c.expert_intermediate > kMaxExpertRows || c.layers * c.experts > kMaxExpertTensors)
    metadata.refuse(keys.name("expert_count"), "fewer experts, or narrower ones");
  if (c.family == Family::kQwen2Moe)
    c.shared_intermediate = keys.need("expert_shared_feed_forward_length", 1, kMaxIntermediate);
  c.norm_topk = keys.boolean("expert_weights_norm").value_or(c.family != Family::kQwen2Moe);
  if (const auto gate = keys.integer("expert_gating_func", 0, 100); gate && *gate > 1)
    metadata.refuse(keys.name("expert_gating_func"), "1 (softmax)");
  bool any = false;  // layers without a router have an MLP
  for (int64_t i = 0; i < c.layers; ++i) {
    c.dense.push_back(!find_gguf_tensor(set, fmt::format("blk.{}.ffn_gate_inp.weight", i)));
    any = any || c.dense.back();
  }
  if (!any) c.dense.clear();
}

// What only some architectures have.
void read_family_keys(const GgufSet& set, GgufKeys& keys, ModelConfig& c) {
  c.qk_norm = c.family == Family::kQwen3 || c.family == Family::kQwen3Moe || c.family == Family::kGemma3;
  const bool slides =
      c.gemma() || c.family == Family::kMistral || c.family == Family::kMixtral || c.family == Family::kPhi3;
  const int64_t window = keys.integer("attention.sliding_window", 0, kMaxPositions).value_or(0);
  if (slides)
    c.window = window;
  else if (window > 0)  // up to its width it changes nothing; so far, and no farther, do we compute
    c.max_position = std::min(c.max_position, window);
  if (c.family == Family::kMixtral || c.family == Family::kQwen2Moe || c.family == Family::kQwen3Moe)
    read_experts(set, keys, c);
  if (c.family == Family::kSmollm3)
    for (int64_t i = 0; i < c.layers; ++i) c.unrotated.push_back((i + 1) % 4 == 0);
  if (!c.gemma()) return;
  c.activation = Activation::kGeluTanh;
  c.activation_text = "gelu_pytorch_tanh";
  c.attention_scalar = gemma_scalar(c);
  if (c.attention_scalar < 1)
    set.metadata().refuse(keys.name("embedding_length"), fmt::format("at least head_count ({})", c.heads));
  const bool second = c.family == Family::kGemma2;
  c.attention_softcap = keys.number("attn_logit_softcapping", 0, 1e6).value_or(second ? 50 : 0);
  c.final_softcap = keys.number("final_logit_softcapping", 0, 1e6).value_or(second ? 30 : 0);
  const int64_t period =
      keys.integer("attention.sliding_window_pattern", 1, kMaxLayers).value_or(usual_period(c.family));
  for (int64_t i = 0; i < c.layers; ++i) c.slides.push_back((i + 1) % period != 0);
}

void write_family_keys(const ModelConfig& c, const std::string& a, GgufMetadata& out) {
  const auto unsupported = [&](std::string_view what) {
    throw_unsupported(fmt::format("config.json: {}: GGUF files of architecture {} cannot say it", what, a));
  };
  if (c.window > 0) out.set_u32(a + ".attention.sliding_window", static_cast<uint64_t>(c.window));
  if (c.experts > 0) {
    out.set_u32(a + ".expert_count", static_cast<uint64_t>(c.experts));
    out.set_u32(a + ".expert_used_count", static_cast<uint64_t>(c.experts_per_token));
    if (c.family != Family::kMixtral)
      out.set_u32(a + ".expert_feed_forward_length", static_cast<uint64_t>(c.expert_intermediate));
    if (c.shared_intermediate > 0)
      out.set_u32(a + ".expert_shared_feed_forward_length", static_cast<uint64_t>(c.shared_intermediate));
    if (c.norm_topk != (c.family != Family::kQwen2Moe)) out.set_bool(a + ".expert_weights_norm", c.norm_topk);
  }
  for (int64_t i = 0; i < c.layers; ++i)
    if (c.family == Family::kSmollm3 && c.layer_rotates(i) != ((i + 1) % 4 != 0))
      unsupported("no_rope_layers");
  if (!c.gemma()) return;
  if (c.attention_scalar != gemma_scalar(c)) unsupported("query_pre_attn_scalar");
  if (c.attention_softcap > 0) out.set_f32(a + ".attn_logit_softcapping", c.attention_softcap);
  if (c.final_softcap > 0) out.set_f32(a + ".final_logit_softcapping", c.final_softcap);
  int64_t period = 1;
  while (period <= c.layers && c.layer_slides(period - 1)) ++period;
  for (int64_t i = 0; i < c.layers; ++i)
    if (c.layer_slides(i) != ((i + 1) % period != 0)) unsupported("layer_types");
  if (period != usual_period(c.family) && c.window > 0)
    out.set_u32(a + ".attention.sliding_window_pattern", static_cast<uint64_t>(period));
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
  std::string names;
  for (const auto& [name, family] : kArchitectures) {
    if (architecture == name && !known) {
      c.family = family;
      known = true;
    }
    if (names.find(name) == names.npos) names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  }
  if (!known)
    throw_unsupported(fmt::format("{}: general.architecture: found {}, expected one of {}", metadata.source(),
                                  metadata.at("general.architecture").excerpt(), names));
  GgufKeys keys(metadata, architecture);
  if (c.family == Family::kLlama) {
    if (keys.integer("attention.sliding_window", 0, kMaxPositions).value_or(0) > 0)
      c.family = Family::kMistral;
    if (keys.integer("expert_count", 0, kMaxExperts).value_or(0) > 0) c.family = Family::kMixtral;
  }
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

  const GgufTensor* embedding = find_gguf_tensor(set, "token_embd.weight");
  if (!embedding || embedding->dims.size() != 2)
    throw_not_found(set.path() + ": found no matrix token_embd.weight, which every model has");
  c.vocab = embedding->dims[1];
  if (c.vocab < 1 || c.vocab > kMaxVocab)
    throw_corrupt(fmt::format("{}: token_embd.weight: found {} rows, expected 1 to {}", set.path(), c.vocab,
                              kMaxVocab));
  keys.benign("vocab_size");  // the table's rows are what counts
  c.tie_word_embeddings = find_gguf_tensor(set, "output.weight") == nullptr;
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
    read_gguf_rope(set, keys, c);
    c.qkv_bias = find_gguf_tensor(set, "blk.0.attn_q.bias") != nullptr;
    c.out_bias = find_gguf_tensor(set, "blk.0.attn_output.bias") != nullptr;
    c.mlp_bias = find_gguf_tensor(set, "blk.0.ffn_gate.bias") != nullptr;
    read_family_keys(set, keys, c);
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

void write_gguf_config(const ModelConfig& c, GgufMetadata& out) {
  std::string a;
  for (const auto& [name, family] : kArchitectures)
    if (c.family == family) a = name;
  const auto unsupported = [&](std::string_view what) {
    throw_unsupported(fmt::format("config.json: {}: GGUF files of architecture {} cannot say it", what, a));
  };
  if (c.activation != (c.family == Family::kGpt2 || c.gemma() ? Activation::kGeluTanh : Activation::kSilu))
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
  write_gguf_rope(c, a, out);
  write_family_keys(c, a, out);
}

}  // namespace hoist::io
