// SlotList: a doubly linked list of slots whose links lie in a vector by slot, so that every operation takes
// constant time and none allocates (but for SlotLinks::grow).
#pragma once

#include <vector>

#include "base/check.h"
#include "sched/state.h"

namespace hoist::sched {

constexpr Slot kNoSlot = -1;

struct SlotLinks {
  struct Link {
    Slot before = kNoSlot, after = kNoSlot;
    bool linked = false;
  };
  std::vector<Link> links;
  void grow(Slot slot) {
    if (links.size() <= static_cast<size_t>(slot)) links.resize(static_cast<size_t>(slot) + 1);
  }
  Link& operator[](Slot slot) { return links[static_cast<size_t>(slot)]; }
  const Link& operator[](Slot slot) const { return links[static_cast<size_t>(slot)]; }
};

// Several lists may share links; a slot is in at most one of those.
class SlotList {
 public:
  Slot front() const { return front_; }
  Slot back() const { return back_; }
  bool empty() const { return front_ == kNoSlot; }
  void push_back(SlotLinks& links, Slot slot) {
    HOIST_CHECK(!links[slot].linked, "a sequence stands in two queues");
    links[slot] = {back_, kNoSlot, true};
    (back_ == kNoSlot ? front_ : links[back_].after) = slot;
    back_ = slot;
  }
  void remove(SlotLinks& links, Slot slot) {
    const SlotLinks::Link link = links[slot];
    HOIST_CHECK(link.linked, "a sequence stands in no queue");
    (link.before == kNoSlot ? front_ : links[link.before].after) = link.after;
    (link.after == kNoSlot ? back_ : links[link.after].before) = link.before;
    links[slot] = {};
  }

 private:
  Slot front_ = kNoSlot, back_ = kNoSlot;
};

}  // namespace hoist::sched
