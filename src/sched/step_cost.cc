#include "sched/step_cost.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"

namespace hoist::sched {

namespace {

constexpr size_t kTerms = 5;
using Terms = std::array<double, kTerms>;

Terms terms_of(const StepLoad& l) {
  return {1.0, static_cast<double>(l.prefill_tokens), l.prefill_pairs, static_cast<double>(l.decode_rows),
          static_cast<double>(l.context)};
}

// Solves the normal equations over the terms in `use`; false when they are singular.
bool solve(std::span<const StepSample> samples, const Terms& scale, const std::array<bool, kTerms>& use,
           Terms& out) {
  std::array<size_t, kTerms> column{};
  size_t n = 0;
  for (size_t t = 0; t < kTerms; ++t)
    if (use[t]) column[n++] = t;
  std::array<std::array<double, kTerms + 1>, kTerms> a{};
  for (const StepSample& s : samples) {
    const Terms x = terms_of(s.load);
    for (size_t i = 0; i < n; ++i) {
      const double xi = x[column[i]] / scale[column[i]] / s.seconds;
      for (size_t j = 0; j < n; ++j) a[i][j] += xi * x[column[j]] / scale[column[j]] / s.seconds;
      a[i][n] += xi;  // times 1: the measured time relative to itself
    }
  }
  out = {};
  for (size_t i = 0; i < n; ++i) {
    size_t pivot = i;
    for (size_t r = i + 1; r < n; ++r)
      if (std::abs(a[r][i]) > std::abs(a[pivot][i])) pivot = r;
    if (std::abs(a[pivot][i]) < 1e-12 * static_cast<double>(samples.size())) return false;
    std::swap(a[i], a[pivot]);
    for (size_t r = 0; r < n; ++r) {
      if (r == i) continue;
      const double factor = a[r][i] / a[i][i];
      for (size_t c = i; c <= n; ++c) a[r][c] -= factor * a[i][c];
    }
  }
  for (size_t i = 0; i < n; ++i) out[column[i]] = a[i][n] / a[i][i] / scale[column[i]];
  return true;
}

double squared_error(const Terms& c, std::span<const StepSample> samples) {
  double sum = 0;
  for (const StepSample& s : samples) {
    const Terms x = terms_of(s.load);
    double predicted = 0;
    for (size_t t = 0; t < kTerms; ++t) predicted += c[t] * x[t];
    const double off = predicted / s.seconds - 1;
    sum += off * off;
  }
  return sum;
}

// A100-80G figures of DistServe's released simulator (milliseconds: fixed, per prompt token, per squared
// prompt token, per context token, per row; a pair is half a squared token). Its set for fewer than 95 rows.
constexpr StepCost from_milliseconds(double fixed, double token, double squared, double context, double row) {
  return {fixed * 1e-3, token * 1e-3, 2 * squared * 1e-3, row * 1e-3, context * 1e-3};
}

constexpr std::array<CostPreset, 5> kPresets = {{
    {"a100-13b", "13B model, one A100-80G", from_milliseconds(19.93, .1019, 7.12e-6, 6.27e-4, .0385), 66144,
     819200},
    {"a100-13b-tp2", "13B model, two A100-80G", from_milliseconds(14.74, .0686, 2.45e-6, 3.41e-4, .0630),
     163008, 819200},
    {"a100-66b-tp4", "66B model, four A100-80G", from_milliseconds(30.76, .1514, 8.32e-6, 4.52e-4, .0633),
     78496, 2359296},
    {"cpu-small", "a model of 1B parameters on a few cores", {0.05, 0.008, 2e-8, 0.003, 1e-7}, 65536, 45056},
    {"unit", "one second per prompt token and per decoded row", {0, 1, 0, 1, 0}, int64_t{1} << 20, 1024},
}};

}  // namespace

void StepLoad::add_prefill(int64_t tokens, int64_t before) {
  const double n = static_cast<double>(tokens);
  prefill_tokens += tokens;
  prefill_pairs += n * static_cast<double>(before) + n * (n + 1) / 2;
}

void StepLoad::add_decode(int64_t keys) {
  ++decode_rows;
  context += keys;
}

double StepCost::seconds(const StepLoad& l) const {
  if (l.empty()) return 0;
  return fixed + prefill_token * static_cast<double>(l.prefill_tokens) + prefill_pair * l.prefill_pairs +
         decode_row * static_cast<double>(l.decode_rows) + context_token * static_cast<double>(l.context);
}

double StepCost::prompt_seconds(int64_t tokens, int64_t before, int64_t step_tokens) const {
  const int64_t left = std::max<int64_t>(0, tokens - before);
  const int64_t steps = (left + step_tokens - 1) / step_tokens;
  StepLoad whole;  // pairs add up over the pieces, so only the fixed part knows of the steps
  whole.add_prefill(left, before);
  return steps == 0 ? 0 : seconds(whole) + fixed * static_cast<double>(steps - 1);
}

double StepCost::row_seconds(int64_t keys) const {
  StepLoad l;
  l.add_decode(keys);
  return seconds(l);
}

StepCost fit_step_cost(std::span<const StepSample> samples) {
  HOIST_CHECK(!samples.empty(), "a fit needs samples");
  Terms scale{};
  for (const StepSample& s : samples) {
    HOIST_CHECK(s.seconds > 0, "a step took no time");
    const Terms x = terms_of(s.load);
    for (size_t t = 0; t < kTerms; ++t) scale[t] = std::max(scale[t], x[t] / s.seconds);
  }
  // Few terms: of all subsets whose solution has no negative coefficient, the one with the least error; of
  // equals the smallest. Exact, and no iteration that might not end.
  Terms best{};
  double least = INFINITY;
  for (unsigned mask = 1; mask < 1u << kTerms; ++mask) {
    std::array<bool, kTerms> use{};
    bool usable = true;
    for (size_t t = 0; t < kTerms; ++t) {
      use[t] = mask >> t & 1;
      usable &= !use[t] || scale[t] > 0;
    }
    Terms c;
    if (!usable || !solve(samples, scale, use, c)) continue;
    if (*std::min_element(c.begin(), c.end()) < 0) continue;
    const double error = squared_error(c, samples);
    if (error < least * (1 - 1e-9) - 1e-18) {
      least = error;
      best = c;
    }
  }
  // Relative errors leave slow outliers out; scaled, the whole takes as long as it did, which is what queues
  // see.
  StepCost cost{best[0], best[1], best[2], best[3], best[4]};
  double predicted = 0, measured = 0;
  for (const StepSample& s : samples) {
    predicted += cost.seconds(s.load);
    measured += s.seconds;
  }
  if (predicted > 0)
    for (double* c :
         {&cost.fixed, &cost.prefill_token, &cost.prefill_pair, &cost.decode_row, &cost.context_token})
      *c *= measured / predicted;
  return cost;
}

double relative_error(const StepCost& cost, std::span<const StepSample> samples) {
  double sum = 0;
  for (const StepSample& s : samples) sum += std::abs(cost.seconds(s.load) / s.seconds - 1);
  return samples.empty() ? 0 : sum / static_cast<double>(samples.size());
}

std::span<const CostPreset> cost_presets() { return kPresets; }

const CostPreset* find_cost_preset(std::string_view name) {
  for (const CostPreset& p : kPresets)
    if (p.name == name) return &p;
  return nullptr;
}

}  // namespace hoist::sched
