// Which of the waiting sequences an encoder should run together, and when: a plain object that sees a clock
// and lengths and returns decisions.
//
// Batches are ragged, so none pays for another's length: a batch costs what its tokens cost and a part per
// squared length, as measured (EncoderCost). What is left to gain is order and the fixed part. plan_batches
// sorts by length and finds by dynamic programming where to cut, so that the sum of completion times is
// least. For a batch that is delivered whole at its end, shortest first is best and batches may be taken
// contiguous in that order: Coffman, Yannakakis, Magazine and Santos, "Batch sizing and job sequencing on a
// single machine", 1990. (With padding it would be the total time that batching by length saves: Fang et al.,
// "TurboTransformers", 2021.)
//
// Pure and without locks. Times are seconds on any clock that does not go back.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <span>
#include <vector>

namespace hoist::sched {

struct EncoderCost {
  double fixed = 0;   // seconds of a batch, however small
  double token = 0;   // per token
  double square = 0;  // per token and token of the same sequence

  // Small batches cost more than a straight line says: the weights are read once for few rows, and tiles are
  // not full. Where `points` are given, by rising tokens and without the squares' part, they take the place
  // of fixed and token: straight between two of them, as the first below, by `token` above the last.
  struct Point {
    int64_t tokens;
    double seconds;
  };
  std::vector<Point> points;

  double seconds(int64_t tokens, double squares) const;
};

struct EncoderSample {
  int64_t tokens = 0;
  double squares = 0;  // sum of squared lengths
  double seconds = 0;  // measured, positive
};
// Least squares on the relative error with no negative coefficient, and a point for each number of tokens,
// none below the one before it. Needs at least one sample.
EncoderCost fit_encoder_cost(std::span<const EncoderSample> samples);

struct EncoderLimits {
  int64_t max_tokens = 4096, max_seqs = 256;  // of one batch; no sequence is longer than max_tokens
};

// Indices into `lengths` by batch, in the order to run them. Minimal sum of completion times over all orders
// of all partitions when only max_seqs binds and the cost has no points; else over those contiguous by
// length. Ties keep the order of arrival. O(n x max_seqs).
std::vector<std::vector<size_t>> plan_batches(std::span<const int64_t> lengths, const EncoderCost& cost,
                                              const EncoderLimits& limits);

// Sum over sequences of when their batch ends, were all run from time 0.
double total_completion(std::span<const std::vector<size_t>> batches, std::span<const int64_t> lengths,
                        const EncoderCost& cost);

struct EncoderPolicy {
  enum class Trigger {
    kHungry,  // whenever the machine is idle and anything waits
    kLazy     // when a batch is full, when the first has waited `wait`, or when `latency` comes near
  };
  Trigger trigger = Trigger::kHungry;
  double wait = 0.005;    // kLazy
  double latency = 0.2;   // kLazy: start once the oldest's waiting and the batch's time pass half of this
  double max_wait = 1.0;  // after this the oldest goes first, whatever its length
  EncoderLimits limits;
};

// The queue. One batch is decided at a time, the first of a fresh plan, so that newcomers are part of the
// next.
class EncoderBatcher {
 public:
  EncoderBatcher(const EncoderPolicy& policy, const EncoderCost& cost) : policy_(policy), cost_(cost) {}

  void add(uint64_t id, int64_t length, double now);  // ids in rising order; 1 <= length <= max_tokens
  void cancel(uint64_t id);                           // unknown ids are ignored

  struct Decision {
    std::vector<uint64_t> batch;  // to run now, and no longer waiting; empty: nothing yet
    double wake = std::numeric_limits<double>::infinity();  // when to ask again, unless something is added
  };
  // To be asked when the machine is idle.
  Decision next(double now);

  size_t waiting() const { return queue_.size(); }

 private:
  struct Waiting {
    uint64_t id;
    int64_t length;
    double since;
  };
  bool ready(double now, double* wake) const;
  std::vector<size_t> choose(double now) const;

  EncoderPolicy policy_;
  EncoderCost cost_;
  std::deque<Waiting> queue_;  // in order of arrival
};

}  // namespace hoist::sched
