// FairShare: turns between tenants, a layer between a policy's order and the step that is built from it.
//
// Virtual time as in fair queueing, counted in service as the virtual token counter does (Sheng et al.,
// "Fairness in Serving Large Language Models", OSDI'24, arXiv 2401.00588): a tenant is charged for what steps
// do for it, the next place of a step goes to the tenant charged least, and among one tenant's sequences the
// policy's order holds. Who comes after a pause is charged at least what the least charged of those at work
// is: idling earns nothing, and leaving pays no debt. Unlike there, a turn may end at any token. So, as long
// as memory does not bind, two tenants who both have enough work for whole steps are never further apart than
// what one step charges, and one that has little is not held up by another's many.
//
// The charge is the step's cost without what all share of it (its fixed part counts once per place); where no
// cost is known, a token of a prompt counts 1 and one of an answer 2, as in the paper. A plain object:
// deterministic, no clock, no thread. It does nothing while all sequences are one tenant's. Cost of a step:
// the live sequences, when they are of several.
#pragma once

#include <unordered_map>
#include <vector>

#include "sched/state.h"

namespace hoist::sched {

class FairShare {
 public:
  explicit FairShare(bool on) : on_(on) {}

  // As Policy's.
  void add(const State& state, Slot slot);
  void remove(Slot slot);
  void ran(const State& state, const std::vector<Work>& work);

  // Whether there is anything to decide; else the policy's order is the order.
  bool several() const { return active_.size() > 1; }
  // Reorders all live sequences, which come in the policy's order.
  void take_turns(const State& state, std::vector<Slot>& order);

 private:
  struct Tenant {
    double charged = 0;
    int64_t live = 0;  // sequences
  };
  struct Turn {
    double charged;  // so far, were the step to hold all who had their turn
    size_t place;    // of its next sequence in the policy's order
    uint32_t tenant;
    bool operator>(const Turn& o) const {
      return charged != o.charged ? charged > o.charged : place > o.place;
    }
  };
  double charge(const State& state, bool decode, int64_t tokens, int64_t before) const;
  double least() const;

  const bool on_;
  double clock_ = 0;  // what the least charged of the tenants at work was charged, or the last of them
  std::unordered_map<int32_t, uint32_t> index_;  // of a tenant's number in tenants_; never shrinks
  std::vector<Tenant> tenants_;
  std::vector<uint32_t> active_;  // those with live sequences
  std::vector<uint32_t> owner_;   // by slot
  // Of take_turns, kept for their memory.
  std::vector<size_t> next_, first_;
  std::vector<Turn> heap_;
  std::vector<Slot> in_;
};

}  // namespace hoist::sched
