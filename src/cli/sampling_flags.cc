#include "cli/sampling_flags.h"

#include <random>

namespace hoist::cli {

void SamplingFlags::add_to(Command& command) {
  command.add_option("--temperature", temperature,
                     "0 always takes the likeliest token (default: the model's, else 0.8)");
  command.add_option("--top-k", top_k, "Draw among the k likeliest tokens; 0: all");
  command.add_option("--top-p", top_p,
                     "Draw among the likeliest tokens that reach this probability together");
  command.add_option("--min-p", min_p, "Leave out tokens below this share of the likeliest one");
  command.add_option("--repeat-penalty", repeat_penalty, "Above 1: tokens already seen become less likely");
  command.add_option("--seed", seed, "The same seed draws the same text (default: a fresh one)");
}

decode::SamplingParams SamplingFlags::params(const io::GenerationConfig& g, double default_top_p) const {
  const bool greedy = g.do_sample.has_value() && !*g.do_sample;
  decode::SamplingParams s;
  s.temperature = temperature.value_or(greedy ? 0.0 : g.temperature.value_or(0.8));
  s.top_k = top_k.value_or(g.top_k.value_or(0));
  s.top_p = top_p.value_or(g.top_p.value_or(default_top_p));
  s.min_p = min_p.value_or(g.min_p.value_or(0.0));
  s.repeat_penalty = repeat_penalty.value_or(g.repetition_penalty.value_or(1.0));
  s.seed = seed ? *seed : (uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  s.check();
  return s;
}

}  // namespace hoist::cli
