#include "sim/summary.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hoist::sim {

double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const size_t low = static_cast<size_t>(at), high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

Distribution distribution(std::vector<double> values) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (values.empty()) return {kNone, kNone, kNone, kNone, kNone, kNone};
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (double v : values) sum += v;
  return {sum / static_cast<double>(values.size()),
          quantile(values, 0.5),
          quantile(values, 0.9),
          quantile(values, 0.95),
          quantile(values, 0.99),
          values.back()};
}

Summary summarize(const ServeResult& result, const Slo& slo) {
  Summary s;
  std::vector<double> ttft, tpot, latency, token;
  double met = 0, tokens = 0;
  for (const RequestResult& r : result.requests) {
    ++s.requests;
    if (r.refused != sched::Refusal::kNone) {
      ++s.refused;
      continue;
    }
    const double output = static_cast<double>(r.request.output_tokens);
    ttft.push_back(r.ttft());
    if (r.request.output_tokens > 1) tpot.push_back(r.tpot());
    latency.push_back(r.latency());
    token.push_back(r.latency() / output);
    tokens += output;
    met += r.ttft() <= slo.ttft && r.tpot() <= slo.tpot;
  }
  s.ttft = distribution(std::move(ttft));
  s.tpot = distribution(std::move(tpot));
  s.latency = distribution(std::move(latency));
  s.token_latency = distribution(std::move(token));
  if (s.requests > 0) s.attainment = met / static_cast<double>(s.requests);
  if (result.seconds > 0) {
    s.goodput = met / result.seconds;
    s.throughput = tokens / result.seconds;
    s.utilization = result.busy / result.seconds;
  }
  return s;
}

}  // namespace hoist::sim
