// StepCost: how long one step of the engine takes, as a function of what is in it.
//
// The form is that of DistServe's simulator (OSDI'24, appendix A; arXiv 2401.09670): a fixed part, a part per
// prompt token, one per query-key pair of the prompts' attention (the quadratic part), one per decoded row
// and one per key that decoded rows read. Coefficients come from measured steps by least squares on the
// relative error, so that short steps count as much as long ones. Pure functions; no clock.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::sched {

// What a step holds.
struct StepLoad {
  int64_t prefill_tokens = 0;
  double prefill_pairs = 0;  // n tokens after `before` others of their sequence: n * before + n (n + 1) / 2
  int64_t decode_rows = 0;
  int64_t context = 0;  // keys that the decoded rows read, their own included

  void add_prefill(int64_t tokens, int64_t before);
  void add_decode(int64_t keys);
  bool empty() const { return prefill_tokens == 0 && decode_rows == 0; }
};

// All in seconds, none negative.
struct StepCost {
  double fixed = 0;  // of every step that holds anything
  double prefill_token = 0;
  double prefill_pair = 0;
  double decode_row = 0;
  double context_token = 0;

  double seconds(const StepLoad& load) const;
  // A prompt of `tokens` tokens, `before` of which are there already, alone on the machine, at most
  // `step_tokens` in a step: the "first iteration" of FastServe.
  double prompt_seconds(int64_t tokens, int64_t before, int64_t step_tokens) const;
  // One row decoded alone: the shortest iteration there is at this context.
  double row_seconds(int64_t keys) const;

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("fixed", self.fixed);
    v("prefill_token", self.prefill_token);
    v("prefill_pair", self.prefill_pair);
    v("decode_row", self.decode_row);
    v("context_token", self.context_token);
  }
};

struct StepSample {
  StepLoad load;
  double seconds = 0;  // measured, positive
};

// Least squares on the relative error with no negative coefficient, scaled to the samples' whole time; what
// they do not tell apart is zero. Needs at least one sample.
StepCost fit_step_cost(std::span<const StepSample> samples);
// Mean of |predicted / measured - 1|.
double relative_error(const StepCost& cost, std::span<const StepSample> samples);

struct CostPreset {
  std::string_view name, what;
  StepCost cost;
  int64_t cache_tokens;    // that fit beside the weights
  int64_t kv_token_bytes;  // keys and values of one token
};
std::span<const CostPreset> cost_presets();
// Null when there is none of that name.
const CostPreset* find_cost_preset(std::string_view name);

}  // namespace hoist::sched
