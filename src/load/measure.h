// One point of load: requests sent when their time comes, whatever the server does (open loop), and what
// became of each.
//
// Times run from the scheduled arrival, not from the moment a request could be sent: a generator that falls
// behind must not flatter the server. How far behind it fell is reported (lateness), and what it cost
// (generator_share).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "load/answer.h"
#include "load/target.h"
#include "sched/state.h"
#include "sim/summary.h"

namespace hoist::load {

struct Served {
  sched::Request request;  // arrival: seconds from the point's begin; output_tokens: asked for
  Answer answer;           // its times are seconds from the point's begin
  double sent = 0, ended = 0;
  bool abandoned = false;  // the point was given up first

  bool good() const { return !abandoned && answer.good(); }
  double ttft() const { return answer.first - request.arrival; }
  double latency() const { return ended - request.arrival; }
  // Mean gap of the tokens after the first; 0 for a single one.
  double tpot() const {
    const int64_t tokens = answer.tokens();
    return tokens > 1 ? (answer.last - answer.first) / static_cast<double>(tokens - 1) : 0;
  }
  bool within(const sim::Slo& slo) const {
    return good() && answer.pieces > 0 && ttft() <= slo.ttft && tpot() <= slo.tpot;
  }
};

struct Point {
  double rate = 0;  // requests a second; 0: of a trace
  std::vector<Served> served;
  double seconds = 0;          // from the first arrival to the last end
  double lateness = 0;         // the worst, of sending
  double generator_share = 0;  // of one core, spent by this thread
  bool given_up = false;       // the limits could not be met any more (see PointOptions)
};

struct PointOptions {
  uint64_t seed = 0;
  // Give up once fewer than `share` of the requests can still be within `slo`; 0: never.
  double share = 0;
  sim::Slo slo;
  // `done` of all requests have ended, about `left` seconds before the end; a few times a second.
  std::function<void(size_t done, size_t all, double left)> progress;
};

// `requests` by arrival.
Point run_point(HttpClient& client, const Target& target, std::span<const sched::Request> requests,
                const PointOptions& options);

// The same requests one after another, each alone on the server: what latency is without load.
Point run_alone(HttpClient& client, const Target& target, std::span<const sched::Request> requests,
                uint64_t seed);

struct PointSummary {
  int64_t requests = 0, good = 0;
  int64_t refused = 0;                                   // 429 or 503: the server said no in time
  int64_t failed = 0;                                    // everything else that is not good
  int64_t abandoned = 0;                                 // the point was given up before their end
  int64_t short_answers = 0;                             // good, and of fewer tokens than asked for
  sim::Distribution ttft, tpot, latency, token_latency;  // seconds, of the good ones
  sim::Distribution refusal;                             // seconds to the answer, of the refused ones
  double attainment = 0;                                 // share of all requests within both limits
  double ttft_met = 0, tpot_met = 0;                     // within one of them
  double goodput = 0;                                    // requests a second within both
  double output_rate = 0, input_rate = 0;                // tokens a second
};
PointSummary summarize(const Point& point, const sim::Slo& slo);

// Why requests failed, the most frequent first: "3 x status 503".
std::vector<std::string> reasons(const Point& point);

}  // namespace hoist::load
