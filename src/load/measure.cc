#include "load/measure.h"

#include <time.h>

#include <algorithm>
#include <map>

#include "base/rng.h"

namespace hoist::load {

namespace {

constexpr double kTick = 0.25;  // seconds between looks at the progress

double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

class Runner {
 public:
  Runner(HttpClient& client, const Target& target, std::span<const sched::Request> requests,
         const PointOptions& options)
      : client_(client),
        target_(target),
        requests_(requests),
        options_(options),
        rng_(options.seed, stable_hash("prompt tokens")) {
    point_.served.resize(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) point_.served[i].request = requests[i];
  }

  Point open_loop() {
    prepare();
    begin_ = client_.now() + 0.01;
    const double cpu = thread_seconds(), from = client_.now();
    arm();
    client_.at(begin_ + kTick, [this] { tick(); });
    client_.run();
    point_.generator_share = (thread_seconds() - cpu) / std::max(1e-9, client_.now() - from);
    finish();
    return std::move(point_);
  }

  Point one_by_one() {
    begin_ = client_.now();
    for (size_t i = 0; i < requests_.size(); ++i) {
      prepare();
      point_.served[i].request.arrival = client_.now() - begin_;
      send();
      client_.run();
    }
    finish();
    return std::move(point_);
  }

 private:
  double now() const { return client_.now() - begin_; }

  // The next request's bytes, made before its time comes.
  void prepare() {
    if (next_ == requests_.size()) return;
    const sched::Request& r = requests_[next_];
    bytes_ = target_.request(rng_, r.id, r.prompt_tokens, r.output_tokens, r.tenant);
  }

  void arm() {
    if (next_ == requests_.size()) return;
    client_.at(begin_ + requests_[next_].arrival, [this] {
      // All whose time has come: a late generator catches up.
      while (!point_.given_up && next_ < requests_.size() && requests_[next_].arrival <= now()) {
        send();
        prepare();
      }
      if (!point_.given_up) arm();
    });
  }

  void send() {
    const size_t i = next_++;
    Served& s = point_.served[i];
    s.sent = now();
    point_.lateness = std::max(point_.lateness, s.sent - s.request.arrival);
    readers_.resize(point_.served.size());
    readers_[i] = std::make_unique<AnswerReader>();
    client_.send(std::move(bytes_), {[this, i](const ResponseHead& head, std::string_view piece) {
                                       readers_[i]->on_body(head, piece, now());
                                     },
                                     [this, i](const ResponseHead& head) {
                                       readers_[i]->on_end(head, now());
                                       end(i);
                                     },
                                     [this, i](const std::string& why) {
                                       readers_[i]->fail(why);
                                       end(i);
                                     }});
  }

  void end(size_t i) {
    Served& s = point_.served[i];
    s.ended = now();
    s.answer = readers_[i]->answer();
    readers_[i].reset();
    ++done_;
    if (!s.within(options_.slo)) ++missed_;
    const double allowed = (1 - options_.share) * static_cast<double>(requests_.size());
    if (options_.share > 0 && static_cast<double>(missed_) > allowed + 1e-9 && !point_.given_up) {
      point_.given_up = true;
      client_.drop_all();
    }
  }

  void tick() {
    if (done_ == requests_.size() || point_.given_up) return;
    if (options_.progress) {
      // What is still to arrive, then as long as the last ones took.
      const double last = requests_.empty() ? 0 : requests_.back().arrival;
      options_.progress(done_, requests_.size(), std::max(0.0, last - now()));
    }
    client_.at(begin_ + now() + kTick, [this] { tick(); });
  }

  void finish() {
    double last = 0;
    for (Served& s : point_.served) {
      last = std::max(last, s.ended);
      s.abandoned = s.ended == 0;
    }
    if (point_.given_up) last = std::max(last, now());
    point_.seconds = requests_.empty() ? 0 : last - requests_.front().arrival;
  }

  HttpClient& client_;
  const Target& target_;
  const std::span<const sched::Request> requests_;
  const PointOptions options_;
  const CounterRng rng_;
  Point point_;
  double begin_ = 0;
  size_t next_ = 0, done_ = 0, missed_ = 0;
  std::string bytes_;
  std::vector<std::unique_ptr<AnswerReader>> readers_;
};

}  // namespace

Point run_point(HttpClient& client, const Target& target, std::span<const sched::Request> requests,
                const PointOptions& options) {
  return Runner(client, target, requests, options).open_loop();
}

Point run_alone(HttpClient& client, const Target& target, std::span<const sched::Request> requests,
                uint64_t seed) {
  PointOptions options;
  options.seed = seed;
  return Runner(client, target, requests, options).one_by_one();
}

PointSummary summarize(const Point& point, const sim::Slo& slo) {
  PointSummary out;
  std::vector<double> ttft, tpot, latency, token, refusal;
  double met = 0, ttft_met = 0, tpot_met = 0, tokens = 0, prompts = 0;
  for (const Served& s : point.served) {
    ++out.requests;
    if (s.abandoned) {
      ++out.abandoned;
      continue;
    }
    if (!s.good()) {
      const bool refused = s.answer.status == 429 || s.answer.status == 503;
      ++(refused ? out.refused : out.failed);
      if (refused) refusal.push_back(s.latency());
      continue;
    }
    ++out.good;
    latency.push_back(s.latency());
    prompts +=
        static_cast<double>(s.answer.prompt_tokens >= 0 ? s.answer.prompt_tokens : s.request.prompt_tokens);
    const int64_t count = s.answer.tokens();
    tokens += static_cast<double>(count);
    out.short_answers += count < s.request.output_tokens;
    if (s.answer.pieces == 0) continue;  // an answer without text has neither
    ttft.push_back(s.ttft());
    if (count > 1) tpot.push_back(s.tpot());
    if (count > 0) token.push_back(s.latency() / static_cast<double>(count));
    met += s.within(slo);
    ttft_met += s.ttft() <= slo.ttft;
    tpot_met += s.tpot() <= slo.tpot;
  }
  out.ttft = sim::distribution(std::move(ttft));
  out.tpot = sim::distribution(std::move(tpot));
  out.latency = sim::distribution(std::move(latency));
  out.refusal = sim::distribution(std::move(refusal));
  out.token_latency = sim::distribution(std::move(token));
  if (out.requests > 0) {
    const double all = static_cast<double>(out.requests);
    out.attainment = met / all;
    out.ttft_met = ttft_met / all;
    out.tpot_met = tpot_met / all;
  }
  if (point.seconds > 0) {
    out.goodput = met / point.seconds;
    out.output_rate = tokens / point.seconds;
    out.input_rate = prompts / point.seconds;
  }
  return out;
}

std::vector<std::string> reasons(const Point& point) {
  std::map<std::string, int64_t> counts;
  for (const Served& s : point.served)
    if (!s.good() && !s.abandoned)
      ++counts[s.answer.error.empty() ? "status " + std::to_string(s.answer.status) : s.answer.error];
  std::vector<std::pair<int64_t, std::string>> sorted;
  for (const auto& [text, n] : counts) sorted.push_back({n, text});
  std::sort(sorted.rbegin(), sorted.rend());
  std::vector<std::string> out;
  for (const auto& [n, text] : sorted) out.push_back(std::to_string(n) + " x " + text);
  return out;
}

}  // namespace hoist::load
