// The skip-join multi-level feedback queue of FastServe (arXiv 2305.05920, section 4.1; NSDI'26), preempting
// at every token.
//
// Queues 1..n with quanta q, q*ratio, q*ratio^2, ... A job joins the first queue whose quantum covers its
// first iteration (the prompt alone on the machine), or queue 1 when skip_join is off. The step holds the
// first jobs of the first queues. Each is charged the step's time; when a token comes and the charge has met
// its queue's quantum, it goes to the end of the next queue with nothing charged, else it keeps its place. A
// job without a turn for `promote` seconds goes ahead of queue 1, with nothing charged. With chunked prefill
// a first iteration may take several steps; it counts as one, as in the paper: nobody is demoted in the midst
// of a prompt, so every promotion yields a token and every job ends. With one level nobody is demoted, and
// the order is that of arrival: first come, first served (exactly, when nobody is promoted either).
#pragma once

#include <memory>

#include "sched/policy.h"

namespace hoist::sched {

constexpr int64_t kMaxLevels = 64;

struct MlfqOptions {
  KvMode kv = KvMode::kProactive;
  bool skip_join = true;
  double quantum = 0;  // seconds, positive
  double ratio = 2;    // above 1
  int64_t levels = kMaxLevels;
  double promote = 0;   // seconds; negative: never
  bool strict = false;  // demote above the quantum only (the released code); else when it is met
  bool fair = true;     // tenants take turns (fair_share.h)
  double burst = 0.5;   // seconds of arrivals that blocks are kept free for
};

std::unique_ptr<Policy> make_mlfq(const MlfqOptions& options);

}  // namespace hoist::sched
