#include "sim/simulator.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace hoist::sim {

namespace {

using sched::Decision;
using sched::KvPlace;
using sched::Refusal;
using sched::Request;
using sched::Sequence;
using sched::Slot;
using sched::Work;

constexpr double kNever = std::numeric_limits<double>::infinity();

struct Transfer {
  Slot slot;
  double end;
};

// One direction of the link: transfers end in the order they began.
class Lane {
 public:
  void push(Slot slot, double now, double seconds) {
    free_at_ = std::max(free_at_, now) + seconds;
    queue_.push_back({slot, free_at_});
  }
  double next() const { return at_ == queue_.size() ? kNever : queue_[at_].end; }
  double last() const { return at_ == queue_.size() ? 0 : queue_.back().end; }
  Slot pop() {
    const Slot slot = queue_[at_++].slot;
    if (at_ == queue_.size()) {
      queue_.clear();
      at_ = 0;
    }
    return slot;
  }

 private:
  std::vector<Transfer> queue_;
  size_t at_ = 0;
  double free_at_ = 0;
};

void check_trace(const std::vector<Request>& trace) {
  double last = 0;
  for (size_t i = 0; i < trace.size(); ++i) {
    const Request& r = trace[i];
    const std::string at = "request " + std::to_string(i) + ": ";
    if (!(r.arrival >= last && std::isfinite(r.arrival)))
      throw_invalid(at + "arrival: found " + std::to_string(r.arrival) + ", expected at least " +
                    std::to_string(last) + ", the one before");
    if (r.prompt_tokens < 1)
      throw_invalid(at + "prompt_tokens: found " + std::to_string(r.prompt_tokens) + ", expected at least 1");
    if (r.output_tokens < 1 || r.output_tokens > r.max_tokens)
      throw_invalid(at + "output_tokens: found " + std::to_string(r.output_tokens) + ", expected 1.." +
                    std::to_string(r.max_tokens));
    last = r.arrival;
  }
}

class Simulation {
 public:
  Simulation(const Machine& m, sched::Policy& policy, const std::vector<Request>& trace,
             const Observer* observer)
      : m_(m),
        policy_(policy),
        trace_(trace),
        observer_(observer),
        block_bytes_(m.kv_token_bytes * static_cast<double>(m.limits.block)),
        block_seconds_(block_bytes_ / m.link_bytes_second),
        ledger_(m.limits, m.cost, m.device_blocks, m.host_blocks, block_seconds_) {
    result_.requests.resize(trace.size());
  }

  ServeResult run() {
    if (trace_.empty()) return std::move(result_);
    now_ = trace_[0].arrival;
    while (true) {
      settle();
      if (ledger_.live() == 0 && next_ == trace_.size()) break;
      policy_.plan(ledger_.state(), decision_);
      if (observer_ && observer_->decided) observer_->decided(ledger_.state(), decision_);
      carry_out();
      if (!decision_.work.empty()) {
        step();
        continue;
      }
      const double transfer = std::min(out_.next(), in_.next());
      const double arrival = next_ < trace_.size() ? trace_[next_].arrival : kNever;
      HOIST_CHECK(std::min(transfer, arrival) < kNever, "the policy runs nothing and waits for nothing");
      const double until = std::max(now_, std::min(transfer, arrival));
      if (ledger_.live() > 0) stall(until - now_);
      now_ = until;
    }
    double last = trace_[0].arrival;
    for (const RequestResult& r : result_.requests) last = std::max(last, r.completion);
    result_.seconds = last - trace_[0].arrival;
    return std::move(result_);
  }

 private:
  RequestResult& result_of(Slot slot) { return result_.requests[owner_[static_cast<size_t>(slot)]]; }
  const Sequence& sequence(Slot slot) const { return ledger_.state().sequences[static_cast<size_t>(slot)]; }

  void stall(double seconds) {
    ++result_.stalls;
    result_.stalled += seconds;
  }

  // What happened up to now: transfers that ended, then arrivals.
  void settle() {
    ledger_.set_now(now_);
    while (out_.next() <= now_) ledger_.end_transfer(out_.pop());
    while (in_.next() <= now_) ledger_.end_transfer(in_.pop());
    for (; next_ < trace_.size() && trace_[next_].arrival <= now_; ++next_) {
      RequestResult& r = result_.requests[next_];
      r.request = trace_[next_];
      r.refused = sched::admission(ledger_.state(), r.request);
      if (r.refused != Refusal::kNone) continue;
      const Slot slot = ledger_.add(r.request);
      if (owner_.size() <= static_cast<size_t>(slot)) {
        owner_.resize(static_cast<size_t>(slot) + 1);
        since_.resize(owner_.size());
      }
      owner_[static_cast<size_t>(slot)] = next_;
      since_[static_cast<size_t>(slot)] = r.request.arrival;
      policy_.add(ledger_.state(), slot);
    }
  }

  void start_out(Slot slot) {
    const double blocks = static_cast<double>(sequence(slot).blocks);
    ledger_.start_out(slot);
    out_.push(slot, now_, blocks * block_seconds_);
    ++result_.swaps_out;
    result_.swap_out_bytes += blocks * block_bytes_;
  }
  void start_in(Slot slot) {
    const double blocks = static_cast<double>(sequence(slot).blocks);
    ledger_.start_in(slot);
    in_.push(slot, now_, blocks * block_seconds_);
    ++result_.swaps_in;
    result_.swap_in_bytes += blocks * block_bytes_;
  }
  void wait_for(Lane& lane) {
    now_ = std::max(now_, lane.last());
    while (lane.next() < kNever) ledger_.end_transfer(lane.pop());
  }

  void carry_out() {
    for (Slot s : decision_.preempted) {
      ++result_.preemptions;
      ++result_of(s).preemptions;
    }
    for (Slot s : decision_.drop) {
      ++result_.drops;
      result_.recomputed_tokens += sequence(s).computed;
      ledger_.drop(s);
    }
    const double begin = now_;
    for (Slot s : decision_.swap_out) start_out(s);
    if (!decision_.wait_for_swaps) ledger_.begin(decision_.work);
    if (decision_.wait_for_swaps) wait_for(out_);
    for (Slot s : decision_.swap_in) start_in(s);
    if (decision_.wait_for_swaps) {
      wait_for(in_);
      ledger_.begin(decision_.work);
      if (now_ > begin) stall(now_ - begin);
    }
  }

  void step() {
    sched::StepLoad load;
    for (const Work& w : decision_.work) {
      const Sequence& s = sequence(w.slot);
      if (w.decode)
        load.add_decode(s.computed + 1);
      else
        load.add_prefill(w.tokens, s.computed);
      double& since = since_[static_cast<size_t>(w.slot)];
      RequestResult& r = result_of(w.slot);
      r.longest_gap = std::max(r.longest_gap, now_ - since);
    }
    const double seconds = m_.cost.seconds(load);
    now_ += seconds;
    result_.busy += seconds;
    ++result_.steps;
    result_.peak_blocks =
        std::max(result_.peak_blocks, ledger_.state().device.total - ledger_.state().device.free);
    ledger_.set_now(now_);
    ledger_.end(decision_.work);
    policy_.ran(ledger_.state(), decision_.work, seconds);
    for (const Work& w : decision_.work) {
      since_[static_cast<size_t>(w.slot)] = now_;
      if (!w.yields) continue;
      RequestResult& r = result_of(w.slot);
      const int64_t generated = sequence(w.slot).generated;
      if (generated == 1) r.first_token = now_;
      if (generated < r.request.output_tokens) continue;
      r.completion = now_;
      policy_.remove(w.slot);
      ledger_.remove(w.slot);
    }
    if (observer_ && observer_->after_step) observer_->after_step(ledger_);
  }

  const Machine& m_;
  sched::Policy& policy_;
  const std::vector<Request>& trace_;
  const Observer* observer_;
  const double block_bytes_, block_seconds_;
  sched::Ledger ledger_;
  Decision decision_;
  Lane out_, in_;
  double now_ = 0;
  size_t next_ = 0;            // of the trace, to arrive
  std::vector<size_t> owner_;  // by slot: its request
  std::vector<double> since_;  // by slot: end of its last step, or its arrival
  ServeResult result_;
};

}  // namespace

ServeResult simulate(const Machine& machine, sched::Policy& policy, const std::vector<Request>& trace,
                     const Observer* observer) {
  check_trace(trace);
  return Simulation(machine, policy, trace, observer).run();
}

}  // namespace hoist::sim
