// Rope in GGUF files: keys under rope.*, and divisors of the frequencies as tensors.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/config/family.h"
#include "io/gguf_keys.h"
#include "io/gguf_model.h"

namespace hoist::io {
namespace {

using Type = RopeConfig::Type;

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

// A tensor of `count` f32 divisors; empty when the files have none of this name.
std::vector<float> read_divisors(const GgufSet& set, const char* name, int64_t count) {
  for (const auto& part : set.parts())
    for (const GgufTensor& tensor : part->tensors()) {
      if (tensor.name != name) continue;
      if (tensor.type->dtype != DType::f32 || tensor.dims != std::vector<int64_t>{count})
        throw_corrupt(fmt::format("{}: {}: found {} [{}], expected F32 [{}]", part->path(), name,
                                  tensor.type->name, fmt::join(tensor.dims, ", "), count));
      std::vector<float> found(static_cast<size_t>(count));
      part->read(tensor, 0, tensor.bytes, found.data());
      for (float x : found)
        if (!(x >= 1e-6f && x <= 1e9f))
          throw_corrupt(fmt::format("{}: {}: found {} among the divisors, expected 1e-6 to 1e9", part->path(),
                                    name, x));
      return found;
    }
  return {};
}

// A file holds the divisors that Llama 3's rule gives, not the rule's numbers: finds numbers that give them.
void read_llama3(const GgufSet& set, int64_t dim, int64_t original, RopeConfig& rope) {
  const std::vector<float> found = read_divisors(set, "rope_freqs.weight", dim / 2);
  if (std::all_of(found.begin(), found.end(), [](float x) { return x == 1.0f; })) return;
  const std::string where = set.path() + ": rope_freqs.weight";
  const auto reproduces = [&](const RopeConfig& candidate) {
    const std::vector<float> factors = llama3_factors(candidate, dim);
    for (size_t j = 0; j < found.size(); ++j)
      if (!(std::abs(factors[j] - found[j]) <= 1e-5f * std::abs(found[j]))) return false;
    return true;
  };
  if (rope.type != Type::kDefault)
    throw_unsupported(where + ": found divisors beside rope.scaling.type, expected one of them");
  RopeConfig candidate = rope;
  candidate.type = Type::kLlama3;
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
      fmt::format("{}: found divisors from {} to {} that are not Llama 3's rule, the one we compute", where,
                  found.front(), found.back()));
}

// Files hold f32: a factor within its rounding of what the rule gives is the rule's.
void set_attention_factor(const GgufSet& set, RopeConfig& rope, double found, int64_t max_position) {
  if (!(found >= 1e-6 && found <= 1e6))
    throw_corrupt(fmt::format("{}: rope.scaling: found an attention factor of {}, expected 1e-6 to 1e6",
                              set.path(), found));
  const double usual = default_attention_factor(rope, max_position);
  rope.attention_factor = std::abs(found - usual) <= 1e-6 * usual ? usual : found;
}

void read_longrope(const GgufSet& set, GgufKeys& keys, int64_t dim, int64_t original, double attn_factor,
                   ModelConfig& config) {
  RopeConfig& rope = config.rope;
  const std::vector<float> near = read_divisors(set, "rope_factors_short.weight", dim / 2);
  const std::vector<float> far = read_divisors(set, "rope_factors_long.weight", dim / 2);
  if (near.empty() != far.empty())
    throw_corrupt(set.path() +
                  ": found one of rope_factors_short.weight and rope_factors_long.weight, expected both");
  if (near.empty()) return;
  if (original < 1) set.metadata().refuse(keys.name("rope.scaling.original_context_length"), "at least 1");
  rope.type = Type::kLongrope;
  rope.short_factor.assign(near.begin(), near.end());
  rope.long_factor.assign(far.begin(), far.end());
  rope.original_max_position = original;
  set_attention_factor(set, rope, attn_factor, config.max_position);
}

void read_yarn(const GgufSet& set, GgufKeys& keys, int64_t original, double attn_factor,
               ModelConfig& config) {
  RopeConfig& rope = config.rope;
  rope.type = Type::kYarn;
  rope.original_max_position = original > 0 ? original : config.max_position;
  rope.beta_fast = keys.number("rope.scaling.yarn_beta_fast", 1e-6, 1e6).value_or(32);
  rope.beta_slow = keys.number("rope.scaling.yarn_beta_slow", 1e-6, 1e6).value_or(1);
  const double own = keys.number("rope.scaling.yarn_attn_factor", 0, 1e6).value_or(1);
  // Files hold a factor beside the rule's.
  set_attention_factor(set, rope, default_attention_factor(rope, config.max_position) * attn_factor * own,
                       config.max_position);
}

}  // namespace

void read_gguf_rope(const GgufSet& set, GgufKeys& keys, ModelConfig& config) {
  const GgufMetadata& metadata = set.metadata();
  RopeConfig& rope = config.rope;
  rope.theta = keys.number("rope.freq_base", 1, 1e15).value_or(10000);
  if (config.family == Family::kGemma3)
    config.local_rope.theta = keys.number("rope.freq_base_swa", 1, 1e15).value_or(10000);
  const auto turned = keys.integer("rope.dimension_count", 0, kMaxHeadDim);
  if (turned && *turned != config.head_dim) {
    if (config.family != Family::kPhi3)
      throw_unsupported(
          fmt::format("{}: {}: found {}, expected {}: rope over a part of a head is not something we compute",
                      metadata.source(), keys.name("rope.dimension_count"), *turned, config.head_dim));
    if (*turned < 2 || *turned % 2 != 0 || *turned > config.head_dim)
      metadata.refuse(keys.name("rope.dimension_count"),
                      fmt::format("an even number up to {}", config.head_dim));
    const auto dim = static_cast<double>(config.head_dim), part = static_cast<double>(*turned);
    config.partial_rotary = part / dim;
    if (config.rotary_dim() != *turned) config.partial_rotary = (part + 0.5) / dim;
  }
  const int64_t dim = config.rotary_dim();
  const std::string_view type = keys.text("rope.scaling.type").value_or("none");
  auto factor = keys.number("rope.scaling.factor", 0, 1e6);
  if (const auto old = keys.number("rope.scale_linear", 0, 1e6); old && !factor)
    factor = old;  // files of 2023
  const int64_t original = keys.integer("rope.scaling.original_context_length", 0, kMaxPositions).value_or(0);
  keys.benign("rope.scaling.finetuned");
  double attn_factor = keys.number("rope.scaling.attn_factor", 0, 1e6).value_or(1);
  if (attn_factor == 0) attn_factor = 1;
  if (type != "none" && type != "linear" && type != "yarn" && type != "longrope")
    throw_unsupported(fmt::format("{}: {}: found {}, expected none, linear, yarn or longrope",
                                  metadata.source(), keys.name("rope.scaling.type"),
                                  metadata.at(keys.name("rope.scaling.type")).excerpt()));
  const bool scaled = factor && *factor != 1 && *factor != 0;
  if (scaled && *factor < 1) metadata.refuse(keys.name("rope.scaling.factor"), "at least 1");
  if (scaled) rope.factor = *factor;
  read_longrope(set, keys, dim, original, attn_factor, config);
  if (rope.type == Type::kLongrope) {
    rope.factor = 1;
    return;
  }
  if (type == "yarn") {
    read_yarn(set, keys, original, attn_factor, config);
  } else {
    if (attn_factor != 1) metadata.refuse(keys.name("rope.scaling.attn_factor"), "1");
    if (scaled && (type == "linear" || !metadata.find(keys.name("rope.scaling.type"))))
      rope.type = Type::kLinear;
    else
      rope.factor = 1;
  }
  read_llama3(set, dim, original, rope);
}

void write_gguf_rope(const ModelConfig& c, const std::string& a, GgufMetadata& out) {
  const RopeConfig& rope = c.rope;
  const auto unsupported = [&](std::string_view what) {
    throw_unsupported(fmt::format("config.json: {}: GGUF files of architecture {} cannot say it", what, a));
  };
  if (rope.type == Type::kDynamic) unsupported("rope type dynamic");
  if (rope.type == Type::kLongrope && c.family != Family::kPhi3) unsupported("rope type longrope");
  if (rope.type == Type::kYarn && !rope.truncate) unsupported("truncate false of rope type yarn");
  out.set_u32(a + ".rope.dimension_count", static_cast<uint64_t>(c.rotary_dim()));
  out.set_f32(a + ".rope.freq_base", rope.theta);
  if (c.family == Family::kGemma3 && c.local_rope.theta != 10000)
    out.set_f32(a + ".rope.freq_base_swa", c.local_rope.theta);
  const auto original = static_cast<uint64_t>(rope.original_max_position);
  if (rope.type == Type::kLinear || rope.type == Type::kYarn) {
    out.set_text(a + ".rope.scaling.type", rope.type == Type::kLinear ? "linear" : "yarn");
    out.set_f32(a + ".rope.scaling.factor", rope.factor);
  }
  if (rope.type == Type::kYarn) {
    out.set_u32(a + ".rope.scaling.original_context_length", original);
    if (rope.beta_fast != 32) out.set_f32(a + ".rope.scaling.yarn_beta_fast", rope.beta_fast);
    if (rope.beta_slow != 1) out.set_f32(a + ".rope.scaling.yarn_beta_slow", rope.beta_slow);
    const double own = rope.attention_factor / default_attention_factor(rope, c.max_position);
    if (own != 1) out.set_f32(a + ".rope.scaling.attn_factor", own);
  }
  if (rope.type == Type::kLongrope) {
    out.set_u32(a + ".rope.scaling.original_context_length", original);
    out.set_f32(a + ".rope.scaling.attn_factor", rope.attention_factor);
  }
}

std::vector<GgufDivisors> gguf_rope_tensors(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  if (!config.uses_rope()) return {};
  if (rope.type == Type::kLlama3) return {{"rope_freqs.weight", llama3_factors(rope, config.rotary_dim())}};
  if (rope.type != Type::kLongrope) return {};
  return {{"rope_factors_long.weight", {rope.long_factor.begin(), rope.long_factor.end()}},
          {"rope_factors_short.weight", {rope.short_factor.begin(), rope.short_factor.end()}}};
}

}  // namespace hoist::io
