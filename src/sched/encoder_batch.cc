#include "sched/encoder_batch.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/check.h"
#include "sched/step_cost.h"

namespace hoist::sched {

EncoderCost fit_encoder_cost(std::span<const EncoderSample> samples) {
  // The same least squares as a decoder's step: squares take the place of its pairs.
  std::vector<StepSample> steps;
  for (const EncoderSample& s : samples) {
    StepSample& step = steps.emplace_back();
    step.load.prefill_tokens = s.tokens;
    step.load.prefill_pairs = s.squares;
    step.seconds = s.seconds;
  }
  const StepCost line = fit_step_cost(steps);
  EncoderCost cost{line.fixed, line.prefill_token, line.prefill_pair, {}};
  std::map<int64_t, double> by_tokens;  // the quickest: what disturbs a measurement makes it longer
  for (const EncoderSample& s : samples) {
    const double without = std::max(0.0, s.seconds - cost.square * s.squares);
    const auto [at, fresh] = by_tokens.try_emplace(s.tokens, without);
    if (!fresh) at->second = std::min(at->second, without);
  }
  for (const auto& [tokens, seconds] : by_tokens) {
    // More tokens never take less; a batch that seemed to was measured in a better moment.
    while (!cost.points.empty() && cost.points.back().seconds > seconds) cost.points.pop_back();
    cost.points.push_back({tokens, seconds});
  }
  return cost;
}

double EncoderCost::seconds(int64_t tokens, double squares) const {
  const double attention = square * squares, n = static_cast<double>(tokens);
  if (points.empty()) return fixed + token * n + attention;
  const auto above =
      std::partition_point(points.begin(), points.end(), [&](const Point& p) { return p.tokens <= tokens; });
  if (above == points.begin()) return points.front().seconds + attention;
  const Point& low = above[-1];
  const double more = n - static_cast<double>(low.tokens);
  const double slope = above == points.end()
                           ? token
                           : (above->seconds - low.seconds) / static_cast<double>(above->tokens - low.tokens);
  return low.seconds + slope * more + attention;
}

std::vector<std::vector<size_t>> plan_batches(std::span<const int64_t> lengths, const EncoderCost& cost,
                                              const EncoderLimits& limits) {
  const size_t n = lengths.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] < lengths[b]; });
  std::vector<int64_t> tokens(n + 1, 0);
  std::vector<double> squares(n + 1, 0), best(n + 1, std::numeric_limits<double>::infinity());
  for (size_t i = 0; i < n; ++i) {
    const int64_t length = lengths[order[i]];
    HOIST_CHECK(length >= 1 && length <= limits.max_tokens, "a sequence does not fit a batch");
    tokens[i + 1] = tokens[i] + length;
    squares[i + 1] = squares[i] + static_cast<double>(length) * static_cast<double>(length);
  }
  // best[i]: the least that the first i sequences' batches add to everybody's completion, their own and that
  // of those behind them, who all wait for each batch.
  std::vector<size_t> cut(n + 1, 0);
  best[0] = 0;
  for (size_t i = 1; i <= n; ++i)
    for (size_t j = i; j-- > 0 && i - j <= static_cast<size_t>(limits.max_seqs);) {
      if (tokens[i] - tokens[j] > limits.max_tokens) break;
      const double time = cost.seconds(tokens[i] - tokens[j], squares[i] - squares[j]);
      const double total = best[j] + time * static_cast<double>(n - j);
      if (total >= best[i]) continue;
      best[i] = total;
      cut[i] = j;
    }
  std::vector<std::vector<size_t>> batches;
  for (size_t i = n; i > 0; i = cut[i]) {
    std::vector<size_t>& batch = batches.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(cut[i]),
                                                      order.begin() + static_cast<std::ptrdiff_t>(i));
    std::sort(batch.begin(), batch.end());
  }
  std::reverse(batches.begin(), batches.end());
  return batches;
}

double total_completion(std::span<const std::vector<size_t>> batches, std::span<const int64_t> lengths,
                        const EncoderCost& cost) {
  double now = 0, total = 0;
  for (const std::vector<size_t>& batch : batches) {
    int64_t tokens = 0;
    double squares = 0;
    for (size_t i : batch) {
      tokens += lengths[i];
      squares += static_cast<double>(lengths[i]) * static_cast<double>(lengths[i]);
    }
    now += cost.seconds(tokens, squares);
    total += now * static_cast<double>(batch.size());
  }
  return total;
}

void EncoderBatcher::add(uint64_t id, int64_t length, double now) {
  HOIST_CHECK(length >= 1 && length <= policy_.limits.max_tokens, "a sequence does not fit a batch");
  queue_.push_back({id, length, now});
}

void EncoderBatcher::cancel(uint64_t id) {
  std::erase_if(queue_, [&](const Waiting& w) { return w.id == id; });
}

bool EncoderBatcher::ready(double now, double* wake) const {
  if (queue_.empty()) return false;
  if (policy_.trigger == EncoderPolicy::Trigger::kHungry) return true;
  int64_t tokens = 0;
  double squares = 0;
  for (const Waiting& w : queue_) {
    tokens += w.length;
    squares += static_cast<double>(w.length) * static_cast<double>(w.length);
  }
  if (tokens >= policy_.limits.max_tokens || static_cast<int64_t>(queue_.size()) >= policy_.limits.max_seqs)
    return true;
  const double oldest = queue_.front().since;
  *wake = std::min(oldest + policy_.wait, oldest + policy_.latency / 2 - cost_.seconds(tokens, squares));
  return now >= *wake;
}

std::vector<size_t> EncoderBatcher::choose(double now) const {
  std::vector<int64_t> lengths;
  for (const Waiting& w : queue_) lengths.push_back(w.length);
  if (now - queue_.front().since < policy_.max_wait)
    return plan_batches(lengths, cost_, policy_.limits).front();
  // Somebody has waited too long: from here on in order of arrival, as far as it fits.
  std::vector<size_t> batch;
  int64_t tokens = 0;
  for (size_t i = 0; i < lengths.size() && static_cast<int64_t>(i) < policy_.limits.max_seqs; ++i) {
    if (tokens + lengths[i] > policy_.limits.max_tokens) break;
    tokens += lengths[i];
    batch.push_back(i);
  }
  return batch;
}

EncoderBatcher::Decision EncoderBatcher::next(double now) {
  Decision decision;
  if (!ready(now, &decision.wake)) return decision;
  decision.wake = std::numeric_limits<double>::infinity();
  const std::vector<size_t> batch = choose(now);
  for (size_t i : batch) decision.batch.push_back(queue_[i].id);
  for (size_t i = batch.size(); i-- > 0;)
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(batch[i]));
  return decision;
}

}  // namespace hoist::sched
