// Policy: decides before every step what runs in it, whose KV moves or goes, and who waits.
//
// A policy is a plain object. It keeps queues, no clock and no thread; what it decides follows from the calls
// it got and the State it sees, so a simulator and an engine that drive it alike get the same decisions. It
// allocates only when there are more sequences than ever before. How it is driven, step by step (a Ledger
// keeps the State and checks the decisions):
//
//   for each arrival:  admission(state, request), slot = ledger.add(request), policy.add(state, slot)
//   policy.plan(state, decision); carry the decision out; run the step
//   ledger.end(work), then policy.ran(state, work, seconds)
//   for each sequence that ended or was cancelled:  policy.remove(slot), then ledger.remove(slot)
//
// plan() is to be called again when nothing could run and something arrived or a transfer ended.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/symbol.h"
#include "sched/batch.h"
#include "sched/fair_share.h"
#include "sched/state.h"

namespace hoist::sched {

class Policy {
 public:
  virtual ~Policy() = default;
  virtual void add(const State& state, Slot slot) = 0;
  virtual void remove(Slot slot) = 0;
  // The step took `seconds`; state.now is its end, and its tokens are counted. Whoever ended is removed
  // after.
  virtual void ran(const State& state, const std::vector<Work>& work, double seconds) = 0;
  virtual void plan(const State& state, Decision& decision) = 0;
  // The level of its queue, from 1; 0 where a policy has none. For reports and tests.
  virtual int level(Slot) const { return 0; }
};

struct PolicyOptions {
  Symbol kv;             // recompute, reactive, proactive; empty: proactive for mlfq, else recompute
  bool fair = true;      // tenants take turns (fair_share.h); without, all are one
  bool reserve = false;  // fcfs: blocks for the longest answer are taken on admission
  double quantum = 0;    // mlfq: of the first queue, in seconds; 0: the shortest iteration
  double ratio = 2;      // mlfq: from one queue's quantum to the next
  int64_t levels = 0;    // mlfq: queues; 0: as many as jobs need
  double promote = 0;  // mlfq: seconds without a turn after which a job goes first; 0: 600 quanta; < 0: never
  bool strict = false;  // mlfq: demote when the charge is above the quantum; else already when it is met
  double burst = 0.5;   // mlfq, proactive: blocks are kept free for so many seconds of arrivals

  template <class Self, class V>
  static void fields(Self& self, V& v) {
    v("kv", self.kv);
    v("fair", self.fair);
    v("reserve", self.reserve);
    v("quantum", self.quantum);
    v("ratio", self.ratio);
    v("levels", self.levels);
    v("promote", self.promote);
    v("strict", self.strict);
    v("burst", self.burst);
  }
};

struct PolicySpec {
  std::string name;  // fcfs, srpt, mlfq, sj-mlfq, priority
  PolicyOptions options;
};

struct PolicyName {
  std::string_view name, what;
};
const std::vector<PolicyName>& policy_names();

// "sj-mlfq" or "sj-mlfq:promote=1,kv=reactive". Throws Error(kInvalidArgument) led by `source`.
PolicySpec parse_policy(std::string_view text, const std::string& source);
// Throws Error when an option makes no sense for the policy or the cost (a quantum of no time).
std::unique_ptr<Policy> make_policy(const PolicySpec& spec, const StepCost& cost);

// One each in its own file.
std::unique_ptr<Policy> make_fcfs(KvMode kv, bool reserve, bool fair);
std::unique_ptr<Policy> make_srpt(KvMode kv, bool fair);
std::unique_ptr<Policy> make_priority(KvMode kv, bool fair);

}  // namespace hoist::sched
