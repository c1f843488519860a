// Group: the ranks of one mesh dimension, and the collectives among them.
//
// Every rank of a group makes the same calls in the same order; each call returns when this rank's result is
// complete. Partial values combine in rank order, so results are the same bits on every rank and in every
// run. A failing rank ends the whole job: the others' calls throw Error naming it. One thread per rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/dtype.h"

namespace hoist::comm {

enum class Reduction { kSum, kMax };

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void barrier() = 0;
  // in, out: `count` elements each, distinct buffers.
  virtual void all_reduce(const void* in, void* out, int64_t count, DType dtype, Reduction op) = 0;
  // out: `size()` pieces of `bytes` each, in rank order.
  virtual void all_gather(const void* in, void* out, int64_t bytes) = 0;
  // in: size() pieces of `count` elements; out: this rank's piece of the combination.
  virtual void reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction op) = 0;
  // in, out: size() pieces of `bytes`; piece r of `in` goes to rank r.
  virtual void all_to_all(const void* in, void* out, int64_t bytes) = 0;

  // Bytes this rank has received from others since the group was made.
  int64_t bytes_received() const { return bytes_received_; }

 protected:
  int64_t bytes_received_ = 0;
};

// Ranks as threads of this process. A world is cut into groups along each dimension of a mesh (the last
// dimension varies fastest); rank r of the world uses groups[r][d] for dimension d.
class ThreadWorld {
 public:
  explicit ThreadWorld(const std::vector<int>& mesh_sizes);
  ~ThreadWorld();
  int size() const;
  Group& group(int rank, int mesh_dimension);
  // Makes every waiting or later call on any rank throw Error(kUnavailable) naming `rank` and `why`.
  void abort(int rank, const char* why);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hoist::comm
