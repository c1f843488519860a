// The flags by which a command that writes text says how it draws tokens.
#pragma once

#include <cstdint>
#include <optional>

#include "cli/command.h"
#include "decode/sampler.h"
#include "io/model_config.h"

namespace hoist::cli {

struct SamplingFlags {
  std::optional<double> temperature, top_p, min_p, repeat_penalty;
  std::optional<int64_t> top_k;
  std::optional<uint64_t> seed;

  void add_to(Command& command);
  // Flags win over the model's generation_config.json, which wins over temperature 0.8 and `top_p`. Without a
  // seed a fresh one. Throws Error for values out of range.
  decode::SamplingParams params(const io::GenerationConfig& model, double default_top_p) const;
};

}  // namespace hoist::cli
