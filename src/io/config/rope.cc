// Rotary positions: `rope_theta` with `rope_scaling{type | rope_type}` (version 4), or `rope_parameters`
// (version 5).
#include <fmt/format.h>

#include <cmath>

#include "io/config/family.h"

namespace hoist::io {
namespace {

using Type = RopeConfig::Type;

struct TypeName {
  std::string_view name;
  Type type;
};
constexpr TypeName kTypes[] = {{"default", Type::kDefault}, {"linear", Type::kLinear},
                               {"dynamic", Type::kDynamic}, {"llama3", Type::kLlama3},
                               {"yarn", Type::kYarn},       {"longrope", Type::kLongrope},
                               {"su", Type::kLongrope}};

Type read_type(const Json& value) {
  const auto old_name = value.find("type"), new_name = value.find("rope_type");
  if (!old_name && !new_name) return Type::kDefault;
  if (old_name && new_name && new_name->as_string() != old_name->as_string())
    new_name->refuse("the same as type");
  const Json& given = new_name ? *new_name : *old_name;
  const std::string_view name = given.as_string();
  for (const TypeName& entry : kTypes)
    if (entry.name == name) return entry.type;
  given.fail(
      ErrorCode::kUnsupported,
      fmt::format("found {}, expected default, linear, dynamic, llama3, yarn or longrope", given.excerpt()));
}

std::vector<double> read_factors(const Json& value, std::string_view key) {
  const Json list = value.at(key);
  if (list.size() < 1 || list.size() > kMaxHeadDim / 2)
    list.refuse(fmt::format("1 to {} numbers", kMaxHeadDim / 2));
  std::vector<double> out;
  for (const Json x : list.elements()) out.push_back(x.as_double(1e-6, 1e9));
  return out;
}

// Attention factor as given, or as yarn's mscale keys give it, or the type's default.
void read_attention_factor(const Json& value, RopeConfig& rope, int64_t max_position) {
  rope.attention_factor = default_attention_factor(rope, max_position);
  if (rope.type == Type::kYarn) {
    const auto scale = value.find("mscale"), all = value.find("mscale_all_dim");
    const double m = scale && !scale->is_null() ? scale->as_double(0, 1e3) : 0;
    const double n = all && !all->is_null() ? all->as_double(0, 1e3) : 0;
    const auto of = [&](double x) { return rope.factor <= 1 ? 1 : 0.1 * x * std::log(rope.factor) + 1; };
    if (m > 0 && n > 0) rope.attention_factor = of(m) / of(n);
  }
  const auto given = value.find("attention_factor");
  if (given && !given->is_null()) rope.attention_factor = given->as_double(1e-6, 1e6);
}

void read_llama3(const Json& value, RopeConfig& rope) {
  rope.low_freq_factor = value.get_double_or("low_freq_factor", 1, 1e-6, 1e6);
  rope.high_freq_factor = value.get_double_or("high_freq_factor", 4, 1e-6, 1e6);
  if (!(rope.high_freq_factor > rope.low_freq_factor))
    value.fail(ErrorCode::kInvalidArgument,
               fmt::format("high_freq_factor: found {}, expected more than low_freq_factor ({})",
                           rope.high_freq_factor, rope.low_freq_factor));
}

void read_yarn(const Json& value, RopeConfig& rope) {
  const auto number = [&](std::string_view key, double& field) {
    const auto x = value.find(key);
    if (x && !x->is_null()) field = x->as_double(1e-6, 1e6);
  };
  number("beta_fast", rope.beta_fast);
  number("beta_slow", rope.beta_slow);
  if (!(rope.beta_fast >= rope.beta_slow))
    value.fail(
        ErrorCode::kInvalidArgument,
        fmt::format("beta_fast: found {}, expected at least beta_slow ({})", rope.beta_fast, rope.beta_slow));
  read_bool(value, "truncate", rope.truncate);
}

}  // namespace

double default_attention_factor(const RopeConfig& rope, int64_t max_position) {
  const auto original = static_cast<double>(rope.original_max_position);
  if (rope.type == Type::kYarn) return rope.factor <= 1 ? 1 : 0.1 * std::log(rope.factor) + 1;
  if (rope.type != Type::kLongrope) return 1;
  const double factor = rope.factor > 1 ? rope.factor : static_cast<double>(max_position) / original;
  return factor <= 1 || original <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(original));
}

RopeConfig read_rope_parameters(const Json& value, const RopeOutside& outside) {
  RopeConfig rope;
  rope.theta = outside.theta;
  if (const auto nested = value.find("rope_theta")) {
    rope.theta = nested->as_double(1, 1e15);
    if (outside.theta_given && rope.theta != outside.theta)
      nested->refuse(fmt::format("{}, the value of rope_theta outside", outside.theta));
  }
  rope.type = read_type(value);
  if (rope.type == Type::kLongrope) {
    rope.short_factor = read_factors(value, "short_factor");
    rope.long_factor = read_factors(value, "long_factor");
    // Of the context; the ratio of the two lengths where absent. The attention factor follows from it.
    const auto factor = value.find("factor");
    if (factor && !factor->is_null()) rope.factor = factor->as_double(1, 1e6);
  } else if (rope.type != Type::kDefault) {
    rope.factor = value.get_double("factor", 1, 1e6);
  }
  if (rope.type == Type::kLlama3) read_llama3(value, rope);
  if (rope.type == Type::kYarn) read_yarn(value, rope);
  if (rope.type == Type::kLlama3 || rope.type == Type::kYarn || rope.type == Type::kLongrope) {
    rope.original_max_position = outside.original;
    if (const auto nested = value.find("original_max_position_embeddings")) {
      rope.original_max_position = nested->as_int(1, kMaxPositions);
      if (outside.original_given && rope.original_max_position != outside.original)
        nested->refuse(
            fmt::format("{}, the value of original_max_position_embeddings outside", outside.original));
    }
    if (rope.type != Type::kLlama3) read_attention_factor(value, rope, outside.max_position);
  } else {
    // Written beside other types too, and without effect there.
    for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"})
      if (rope.type == Type::kDefault) require_neutral(value, key, "1.0");
    int_or(value, "original_max_position_embeddings", 1, 1, kMaxPositions);
  }
  if (outside.partial) {
    if (const auto partial = value.find("partial_rotary_factor"); partial && !partial->is_null())
      *outside.partial = partial->as_double(1e-6, 1);
  } else {
    require_neutral(value, "partial_rotary_factor", "1.0");
  }
  for (const auto& [key, unknown] : value.unread_members())
    if (!unknown.is_null())
      unknown.fail(ErrorCode::kUnsupported,
                   fmt::format("found {}, a key that this rope type does not have", unknown.excerpt()));
  return rope;
}

void read_rope(const Json& root, ModelConfig& config) {
  RopeOutside outside{.theta = config.rope.theta, .max_position = config.max_position};
  const auto theta = root.find("rope_theta");
  outside.theta_given = theta && !theta->is_null();
  if (outside.theta_given) outside.theta = theta->as_double(1, 1e15);
  const auto original = root.find("original_max_position_embeddings");
  outside.original_given = original && !original->is_null();
  // Absent, the original length is the model's own; phi3's class has a default.
  outside.original = outside.original_given           ? original->as_int(1, kMaxPositions)
                     : config.family == Family::kPhi3 ? 4096
                                                      : config.max_position;
  if (config.family == Family::kPhi3) {
    outside.partial = &config.partial_rotary;
    const auto partial = root.find("partial_rotary_factor");
    if (partial && !partial->is_null()) config.partial_rotary = partial->as_double(1e-6, 1);
  } else {
    require_neutral(root, "partial_rotary_factor", "1.0");
  }

  const auto scaling = root.find("rope_scaling"), parameters = root.find("rope_parameters");
  const auto read = [&](const std::optional<Json>& value) {
    if (value && !value->is_null()) return read_rope_parameters(*value, outside);
    RopeConfig plain;
    plain.theta = outside.theta;
    return plain;
  };
  config.rope = read(parameters);
  if (scaling && !scaling->is_null()) {
    const RopeConfig old = read(scaling);
    if (parameters && !parameters->is_null() && !(old == config.rope))
      scaling->fail(ErrorCode::kInvalidArgument, "does not say the same as rope_parameters");
    config.rope = old;
  }
}

void write_rope(const ModelConfig& config, JsonValue& out) {
  const RopeConfig& rope = config.rope;
  const bool phi3 = config.family == Family::kPhi3;
  out["rope_theta"] = rope.theta;
  if (phi3) out["partial_rotary_factor"] = config.partial_rotary;
  if (rope.type == Type::kDefault) {
    out["rope_scaling"] = nullptr;
    return;
  }
  JsonValue scaling = JsonValue::object();
  std::string_view name;
  for (const TypeName& entry : kTypes)
    if (entry.type == rope.type && name.empty()) name = entry.name;
  scaling[phi3 ? "type" : "rope_type"] = name;
  if (rope.type != Type::kLongrope || rope.factor > 1) scaling["factor"] = rope.factor;
  if (rope.type == Type::kLlama3) {
    scaling["low_freq_factor"] = rope.low_freq_factor;
    scaling["high_freq_factor"] = rope.high_freq_factor;
  }
  if (rope.type == Type::kYarn) {
    scaling["beta_fast"] = rope.beta_fast;
    scaling["beta_slow"] = rope.beta_slow;
    scaling["truncate"] = rope.truncate;
  }
  if (rope.type == Type::kLongrope) {
    scaling["short_factor"] = rope.short_factor;
    scaling["long_factor"] = rope.long_factor;
  }
  if (rope.attention_factor != default_attention_factor(rope, config.max_position))
    scaling["attention_factor"] = rope.attention_factor;
  if (rope.type == Type::kLlama3 || rope.type == Type::kYarn || rope.type == Type::kLongrope) {
    // Phi-3's class keeps this one outside.
    if (phi3)
      out["original_max_position_embeddings"] = rope.original_max_position;
    else
      scaling["original_max_position_embeddings"] = rope.original_max_position;
  }
  out["rope_scaling"] = std::move(scaling);
}

void check_rope(const Json& root, const ModelConfig& config) {
  if (!config.uses_rope()) return;
  const int64_t dim = config.rotary_dim();
  if (dim < 2 || dim % 2 != 0)
    root.fail(
        ErrorCode::kInvalidArgument,
        fmt::format("partial_rotary_factor: found {}, which turns {} channels of a head of {}, expected "
                    "an even number of them",
                    config.partial_rotary, dim, config.head_dim));
  for (const RopeConfig* rope : {&config.rope, &config.local_rope}) {
    if (rope->type == Type::kDynamic && dim < 4)
      root.fail(ErrorCode::kInvalidArgument,
                "head_dim: found 2 channels that turn, expected at least 4 for rope "
                "type dynamic");
    if (rope->type != Type::kLongrope) continue;
    for (const auto& [key, list] :
         {std::pair{"short_factor", &rope->short_factor}, std::pair{"long_factor", &rope->long_factor}})
      if (static_cast<int64_t>(list->size()) != dim / 2)
        root.fail(ErrorCode::kInvalidArgument,
                  fmt::format("rope_scaling.{}: found {} numbers, expected {}, one for each pair of channels "
                              "that turns",
                              key, list->size(), dim / 2));
  }
}

}  // namespace hoist::io
