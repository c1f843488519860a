// Rotary positions: `rope_theta` with `rope_scaling{type | rope_type}` (version 4), or `rope_parameters`
// (version 5).
#include <fmt/format.h>

#include "io/config/family.h"

namespace hoist::io {
namespace {

// `theta` and `original` are what the keys at the top level say, or the class defaults.
RopeConfig read_parameters(const Json& value, double theta, bool theta_given, int64_t original,
                           bool original_given) {
  RopeConfig rope;
  rope.theta = theta;
  if (const auto nested = value.find("rope_theta")) {
    rope.theta = nested->as_double(1, 1e15);
    if (theta_given && rope.theta != theta)
      nested->refuse(fmt::format("{}, the value of rope_theta outside", theta));
  }
  std::string_view type = "default";
  const auto old_name = value.find("type"), new_name = value.find("rope_type");
  if (old_name) type = old_name->as_string();
  if (new_name) {
    if (old_name && new_name->as_string() != type) new_name->refuse("the same as type");
    type = new_name->as_string();
  }
  if (type == "linear") {
    rope.type = RopeConfig::Type::kLinear;
  } else if (type == "llama3") {
    rope.type = RopeConfig::Type::kLlama3;
  } else if (type != "default") {
    (new_name ? *new_name : *old_name)
        .fail(ErrorCode::kUnsupported, fmt::format("found {}, expected default, linear or llama3",
                                                   (new_name ? *new_name : *old_name).excerpt()));
  }
  if (rope.type != RopeConfig::Type::kDefault) rope.factor = value.get_double("factor", 1, 1e6);
  if (rope.type == RopeConfig::Type::kLlama3) {
    rope.low_freq_factor = value.get_double_or("low_freq_factor", 1, 1e-6, 1e6);
    rope.high_freq_factor = value.get_double_or("high_freq_factor", 4, 1e-6, 1e6);
    if (!(rope.high_freq_factor > rope.low_freq_factor))
      value.fail(ErrorCode::kInvalidArgument,
                 fmt::format("high_freq_factor: found {}, expected more than low_freq_factor ({})",
                             rope.high_freq_factor, rope.low_freq_factor));
    rope.original_max_position = original;
    if (const auto nested = value.find("original_max_position_embeddings")) {
      rope.original_max_position = nested->as_int(1, kMaxPositions);
      if (original_given && rope.original_max_position != original)
        nested->refuse(fmt::format("{}, the value of original_max_position_embeddings outside", original));
    }
  } else {
    // Written beside other types too, and without effect there.
    for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"})
      if (rope.type == RopeConfig::Type::kDefault) require_neutral(value, key, "1.0");
    int_or(value, "original_max_position_embeddings", 1, 1, kMaxPositions);
  }
  require_neutral(value, "partial_rotary_factor", "1.0");
  for (const auto& [key, unknown] : value.unread_members())
    if (!unknown.is_null())
      unknown.fail(ErrorCode::kUnsupported, fmt::format("found {}, a key that rope type {} does not have",
                                                        unknown.excerpt(), json_quote(type)));
  return rope;
}

}  // namespace

void read_rope(const Json& root, ModelConfig& config) {
  const auto theta = root.find("rope_theta");
  if (theta && !theta->is_null()) config.rope.theta = theta->as_double(1, 1e15);
  const bool theta_given = theta && !theta->is_null();
  const auto original = root.find("original_max_position_embeddings");
  const bool original_given = original && !original->is_null();
  // Absent, llama3's original length is the model's own.
  const int64_t original_max = original_given ? original->as_int(1, kMaxPositions) : config.max_position;
  require_neutral(root, "partial_rotary_factor", "1.0");

  const auto scaling = root.find("rope_scaling"), parameters = root.find("rope_parameters");
  const RopeConfig plain{.theta = config.rope.theta};
  const auto read = [&](const std::optional<Json>& value) {
    return value && !value->is_null()
               ? read_parameters(*value, config.rope.theta, theta_given, original_max, original_given)
               : plain;
  };
  config.rope = read(parameters);
  if (scaling && !scaling->is_null()) {
    const RopeConfig old = read(scaling);
    if (parameters && !parameters->is_null() && !(old == config.rope))
      scaling->fail(ErrorCode::kInvalidArgument, "does not say the same as rope_parameters");
    config.rope = old;
  }
}

}  // namespace hoist::io
