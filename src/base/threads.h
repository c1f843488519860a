// ThreadPool: fork-join over index ranges on threads of our own, pinned to distinct cores where the machine
// allows it. A pool is an object handed in, never a global: several pools may live in one process (ranks as
// threads).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/function_ref.h"

namespace hoist {

// What the machine offers this process: one logical CPU per physical core, in topology order.
struct Topology {
  std::vector<int> cores;    // operating-system CPU numbers
  int64_t memory_bytes = 0;  // physical memory, or the cgroup's limit when that is lower
  int64_t l2_bytes = 0, l3_bytes = 0;
  // Reads the machine through hwloc, honouring the affinity mask. Falls back to one core on failure.
  static Topology detect();
};

struct ThreadPoolOptions {
  int threads = 0;              // 0: one per core of `topology`
  bool pin = false;             // pin worker i to topology.cores[i]; the caller's thread is not pinned
  int first_core = 0;           // offset into topology.cores, for several pools
  int spin_microseconds = 200;  // how long an idle worker spins before it sleeps
};

class ThreadPool {
 public:
  explicit ThreadPool(const ThreadPoolOptions& options = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // One thread, the caller's, without state: unlike any other it may be called by many threads at once, and
  // from inside the body of another pool. For work that is a task of something larger.
  static ThreadPool& serial();

  // Calls body(begin, end, worker) on disjoint ranges that cover [0, n), each at least `grain` long except
  // the last, on up to threads() threads including the caller; returns when all are done. `worker` is in [0,
  // threads()) and no two ranges run with the same worker at once. `body` must not throw. Not re-entrant: one
  // thread at a time may call, and never from inside a body.
  void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> body);

 private:
  struct State;
  struct Serial {};
  explicit ThreadPool(Serial);
  void work(int worker);
  std::unique_ptr<State> state_;
  int threads_;
};

}  // namespace hoist
