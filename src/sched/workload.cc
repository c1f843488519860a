#include "sched/workload.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace hoist::sched {

namespace {

// The quantile of N(0, 1) by bisection on erfc: slow (about 1 us) and exact enough for counter-based draws.
double normal_quantile(double u) {
  double low = -9, high = 9;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < u ? low : high) = middle;
  }
  return (low + high) / 2;
}

// Gamma of shape k and scale 1 (Marsaglia and Tsang, 2000); tries are counters of their own.
double gamma(const CounterRng& rng, uint64_t index, double k) {
  const double boost = k < 1 ? std::pow(1 - rng.uniform(index * 256 + 255), 1 / k) : 1;
  const double d = (k < 1 ? k + 1 : k) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (uint64_t tried = 0; tried < 120; ++tried) {
    const double x = rng.normal(index * 256 + 2 * tried), v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    const double u = 1 - rng.uniform(index * 256 + 2 * tried + 1);
    if (std::log(u) < x * x / 2 + d - d * v + d * std::log(v)) return boost * d * v;
  }
  return boost * d;  // not reached: each try is taken with probability above 0.95
}

[[noreturn]] void refuse(const std::string& source, std::string_view found, const char* expected) {
  throw_invalid(source + ": found '" + std::string(found) + "', expected " + expected);
}

constexpr const char* kLengthForms =
    "fixed:N, uniform:LOW..HIGH, lognormal:MEDIAN,SIGMA[,LOW..HIGH] or pareto:SHAPE,LOW..HIGH (lengths "
    "1..16777216)";

// Reads a number off the front of `rest`.
bool take_number(std::string_view& rest, double& out) {
  const auto r = std::from_chars(rest.data(), rest.data() + rest.size(), out, std::chars_format::fixed);
  if (r.ec != std::errc() || !std::isfinite(out)) return false;
  rest.remove_prefix(static_cast<size_t>(r.ptr - rest.data()));
  return true;
}
bool take(std::string_view& rest, std::string_view token) {
  if (!rest.starts_with(token)) return false;
  rest.remove_prefix(token.size());
  return true;
}
bool is_length(double v) { return v >= 1 && v <= kMaxLength && v == std::floor(v); }
// "LOW..HIGH", whole numbers; from_chars would read "8." as a number, so the dots are found first.
bool take_range(std::string_view& rest, Lengths& l) {
  const size_t dots = rest.find("..");
  if (dots == rest.npos) return false;
  std::string_view low = rest.substr(0, dots);
  rest.remove_prefix(dots + 2);
  return take_number(low, l.low) && low.empty() && take_number(rest, l.high) && is_length(l.low) &&
         is_length(l.high) && l.low <= l.high;
}

std::string short_number(double v) {
  char buffer[352];  // without an exponent: the smallest have 324 digits behind the point
  const auto r = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::fixed);
  return std::string(buffer, r.ptr);
}

Lengths log_normal(double mean, double sigma, double high) {
  Lengths l;
  l.kind = LengthKind::kLogNormal;
  l.median = std::round(mean * std::exp(-sigma * sigma / 2));
  l.sigma = sigma;
  l.low = 1;
  l.high = high;
  return l;
}

}  // namespace

double Lengths::quantile(double u) const {
  double x = low;
  switch (kind) {
    case LengthKind::kFixed: break;
    case LengthKind::kUniform: x = std::floor(low + u * (high - low + 1)); break;
    case LengthKind::kLogNormal:
      x = std::round(median * std::exp(sigma * normal_quantile(std::clamp(u, 1e-15, 1 - 1e-15))));
      break;
    case LengthKind::kPareto: {
      const double tail = 1 - u * (1 - std::pow(low / high, shape));
      x = std::floor(low * std::pow(tail, -1 / shape));
      break;
    }
  }
  return std::clamp(x, low, high);
}

double Lengths::mean() const {
  constexpr int kPoints = 20000;
  double sum = 0;
  for (int i = 0; i < kPoints; ++i) sum += quantile((i + 0.5) / kPoints);
  return sum / kPoints;
}

double Lengths::mean_square() const {
  constexpr int kPoints = 20000;
  double sum = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double x = quantile((i + 0.5) / kPoints);
    sum += x * x;
  }
  return sum / kPoints;
}

int64_t Lengths::draw(const CounterRng& rng, uint64_t index) const {
  return static_cast<int64_t>(quantile(rng.uniform(index)));
}

std::string Lengths::text() const {
  const std::string range = short_number(low) + ".." + short_number(high);
  switch (kind) {
    case LengthKind::kFixed: return "fixed:" + short_number(low);
    case LengthKind::kUniform: return "uniform:" + range;
    case LengthKind::kLogNormal:
      return "lognormal:" + short_number(median) + "," + short_number(sigma) + "," + range;
    case LengthKind::kPareto: return "pareto:" + short_number(shape) + "," + range;
  }
  return "";
}

Lengths parse_lengths(std::string_view text, const std::string& source) {
  Lengths l;
  std::string_view rest = text;
  bool good = false;
  if (take(rest, "fixed:")) {
    good = take_number(rest, l.low) && is_length(l.low);
    l.high = l.low;
  } else if (take(rest, "uniform:")) {
    l.kind = LengthKind::kUniform;
    good = take_range(rest, l);
  } else if (take(rest, "lognormal:")) {
    l.kind = LengthKind::kLogNormal;
    l.low = 1;
    l.high = kMaxLength;
    good = take_number(rest, l.median) && take(rest, ",") && take_number(rest, l.sigma) && l.median >= 1 &&
           l.median <= kMaxLength && l.sigma >= 0 && l.sigma <= 10;
    if (good && take(rest, ",")) good = take_range(rest, l);
  } else if (take(rest, "pareto:")) {
    l.kind = LengthKind::kPareto;
    good =
        take_number(rest, l.shape) && take(rest, ",") && take_range(rest, l) && l.shape > 0 && l.shape <= 100;
  }
  if (!good || !rest.empty()) refuse(source, text, kLengthForms);
  return l;
}

Arrivals parse_arrivals(std::string_view text, const std::string& source) {
  if (text == "poisson") return {1};
  if (text == "even") return {0};
  std::string_view rest = text;
  Arrivals a;
  if (!take(rest, "gamma:") || !take_number(rest, a.cv) || !rest.empty() || a.cv < 0.01 || a.cv > 100)
    refuse(source, text, "poisson, even or gamma:CV (coefficient of variation, 0.01..100)");
  return a;
}

std::span<const Dataset> datasets() {
  static const std::array<Dataset, 3> sets = {{
      {"conversation", "chat (ShareGPT): 755 tokens in, 200 out", log_normal(755.5, 0.8, 8192),
       log_normal(200.3, 0.8, 2048), 0.25, 0.1},
      {"code", "completion of functions (HumanEval): 171 in, 98 out", log_normal(171.3, 0.5, 2048),
       log_normal(98.2, 0.7, 2048), 0.125, 0.2},
      {"summarization", "long documents (LongBench): 1738 in, 91 out", log_normal(1738.3, 0.5, 8192),
       log_normal(90.7, 0.8, 1024), 15, 0.15},
  }};
  return sets;
}

const Dataset* find_dataset(std::string_view name) {
  for (const Dataset& d : datasets())
    if (d.name == name) return &d;
  return nullptr;
}

std::vector<Request> generate(const Workload& w) {
  HOIST_CHECK(w.rate > 0 && w.requests >= 0 && w.tenants >= 1, "workload");
  const CounterRng gaps(w.seed, stable_hash("arrival")), prompts(w.seed, stable_hash("prompt")),
      outputs(w.seed, stable_hash("output")), tenants(w.seed, stable_hash("tenant"));
  const double shape = w.arrivals.cv > 0 ? 1 / (w.arrivals.cv * w.arrivals.cv) : 0;
  std::vector<Request> out(static_cast<size_t>(w.requests));
  double now = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    Request& r = out[i];
    const double gap = w.arrivals.cv == 0   ? 1
                       : w.arrivals.cv == 1 ? -std::log1p(-gaps.uniform(i))
                                            : gamma(gaps, i, shape) / shape;
    now += gap / w.rate;
    r.id = i;
    r.arrival = now;
    r.prompt_tokens = w.prompt.draw(prompts, i);
    r.output_tokens = w.output.draw(outputs, i);
    r.max_tokens = static_cast<int64_t>(w.output.high);
    if (w.context > 1) {
      r.max_tokens = std::min(r.max_tokens, w.context - 1);
      r.prompt_tokens = std::min(r.prompt_tokens, w.context - 1);
      r.max_tokens = std::min(r.max_tokens, w.context - r.prompt_tokens);
      r.output_tokens = std::min(r.output_tokens, r.max_tokens);
    }
    r.tenant = static_cast<int32_t>(tenants.below(i, static_cast<uint64_t>(w.tenants)));
  }
  return out;
}

double seconds_per_request(const Workload& w, const StepCost& cost, const Limits& limits) {
  const double prompt = w.prompt.mean(), output = w.output.mean();
  const double rows = static_cast<double>(limits.max_seqs);
  // The prompt's own arithmetic, and its share of steps that are full of rows.
  const double first = cost.prefill_token * prompt + cost.prefill_pair * w.prompt.mean_square() / 2;
  const double keys = output > 0 ? prompt + w.output.mean_square() / output / 2 : prompt;
  const double row = cost.decode_row + cost.context_token * keys;
  const double steps = output - 1 + std::max(1.0, prompt / static_cast<double>(limits.step_tokens));
  return first + steps * cost.fixed / rows + (output - 1) * row;
}

}  // namespace hoist::sched
