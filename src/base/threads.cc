#include "base/threads.h"

#include <hwloc.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/error.h"

namespace hoist {

namespace {

int64_t cgroup_limit() {
  int64_t limit = INT64_MAX;
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (std::FILE* f = std::fopen(path, "r")) {
      long long value = 0;
      if (std::fscanf(f, "%lld", &value) == 1 && value > 0) limit = std::min<int64_t>(limit, value);
      std::fclose(f);
    }
  }
  return limit;
}

}  // namespace

Topology Topology::detect() {
  Topology t;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  bool have_mask = sched_getaffinity(0, sizeof mask, &mask) == 0;
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) == 0) {
    if (hwloc_topology_load(topology) == 0) {
      for (int i = 0; i < hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE); ++i) {
        hwloc_obj_t core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, static_cast<unsigned>(i));
        int cpu = hwloc_bitmap_first(core->cpuset);
        while (cpu >= 0 && have_mask && !CPU_ISSET(cpu, &mask)) cpu = hwloc_bitmap_next(core->cpuset, cpu);
        if (cpu >= 0) t.cores.push_back(cpu);
      }
      auto cache = [&](hwloc_obj_type_t type) -> int64_t {
        hwloc_obj_t obj = hwloc_get_obj_by_type(topology, type, 0);
        return obj && obj->attr ? static_cast<int64_t>(obj->attr->cache.size) : 0;
      };
      t.l2_bytes = cache(HWLOC_OBJ_L2CACHE);
      t.l3_bytes = cache(HWLOC_OBJ_L3CACHE);
    }
    hwloc_topology_destroy(topology);
  }
  if (t.cores.empty()) t.cores.push_back(0);
  t.memory_bytes =
      std::min<int64_t>(cgroup_limit(), int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE));
  return t;
}

// A job is open while its caller still takes chunks. Workers join an open job and leave it; the caller closes
// the job when no chunk is left and waits only for those who joined, so a worker that the system has not
// woken yet delays nobody.
struct ThreadPool::State {
  static constexpr uint32_t kOpen = 1u << 31;
  std::vector<std::thread> workers;
  int spin_microseconds = 20;
  std::atomic<uint32_t> epoch{0};  // bumped for each job: what sleeping workers watch
  std::atomic<uint32_t> gate{0};   // kOpen, plus the number of workers inside
  std::atomic<int64_t> next{0};
  // Written only while the gate is closed and nobody is inside.
  int64_t n = 0, grain = 1, share = 1;
  const FunctionRef<void(int64_t, int64_t, int)>* body = nullptr;
  std::atomic<bool> stop{false};

  // The next chunk: a fixed share of what is left, so that chunks begin large, which keeps the counter quiet,
  // and end small, which evens out unequal work.
  bool take(int64_t* begin, int64_t* end) {
    int64_t at = next.load(std::memory_order_relaxed);
    while (at < n) {
      const int64_t chunk = std::max(grain, (n - at) / share / grain * grain);
      const int64_t stop_at = chunk < n - at ? at + chunk : n;
      if (next.compare_exchange_weak(at, stop_at, std::memory_order_relaxed)) {
        *begin = at;
        *end = stop_at;
        return true;
      }
    }
    return false;
  }
};

namespace {

// Spins for a while, then sleeps in the kernel, until `value` differs from `old`.
template <class T>
void wait_change(std::atomic<T>& value, T old, int spin_microseconds) {
  auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(spin_microseconds);
  while (value.load(std::memory_order_acquire) == old) {
    for (int i = 0; i < 64; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      __builtin_ia32_pause();
    }
    if (std::chrono::steady_clock::now() >= until) {
      value.wait(old, std::memory_order_acquire);
      return;
    }
  }
}

}  // namespace

ThreadPool::ThreadPool(const ThreadPoolOptions& options) : state_(std::make_unique<State>()) {
  Topology topology = Topology::detect();
  threads_ = options.threads > 0 ? options.threads : static_cast<int>(topology.cores.size());
  if (threads_ > 4096)
    throw_invalid("threads: found " + std::to_string(threads_) + ", expected at most 4096");
  state_->spin_microseconds = options.spin_microseconds;
  for (int i = 1; i < threads_; ++i) {
    state_->workers.emplace_back([this, i] { work(i); });
    if (options.pin) {
      cpu_set_t set;
      CPU_ZERO(&set);
      size_t core = static_cast<size_t>(options.first_core + i) % topology.cores.size();
      CPU_SET(topology.cores[core], &set);
      pthread_setaffinity_np(state_->workers.back().native_handle(), sizeof set, &set);  // best effort
    }
  }
}

ThreadPool::ThreadPool(Serial) : threads_(1) {}
ThreadPool& ThreadPool::serial() {
  static ThreadPool pool{Serial()};
  return pool;
}

ThreadPool::~ThreadPool() {
  if (!state_) return;
  state_->stop = true;
  state_->epoch.fetch_add(1, std::memory_order_release);
  state_->epoch.notify_all();
  for (std::thread& t : state_->workers) t.join();
}

void ThreadPool::work(int worker) {
  State& s = *state_;
  uint32_t seen = 0;
  while (true) {
    wait_change(s.epoch, seen, s.spin_microseconds);
    seen = s.epoch.load(std::memory_order_acquire);
    if (s.stop) return;
    uint32_t gate = s.gate.load(std::memory_order_relaxed);
    bool joined = false;
    while ((gate & State::kOpen) && !joined)
      joined =
          s.gate.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire, std::memory_order_relaxed);
    if (!joined) continue;
    int64_t begin, end;
    while (s.take(&begin, &end)) (*s.body)(begin, end, worker);
    if (s.gate.fetch_sub(1, std::memory_order_release) == 1)
      s.gate.notify_one();  // the last one out of a closed job
  }
}

void ThreadPool::parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (threads_ == 1 || n <= grain) {
    body(0, n, 0);
    return;
  }
  State& s = *state_;
  s.n = n;
  s.grain = grain;
  s.share = 2 * threads_;
  s.body = &body;
  s.next.store(0, std::memory_order_relaxed);
  s.gate.store(State::kOpen, std::memory_order_release);
  s.epoch.fetch_add(1, std::memory_order_release);
  s.epoch.notify_all();
  int64_t begin, end;
  while (s.take(&begin, &end)) body(begin, end, 0);
  uint32_t inside = s.gate.fetch_and(~State::kOpen, std::memory_order_acquire) & ~State::kOpen;
  while (inside) {
    wait_change(s.gate, inside, s.spin_microseconds);
    inside = s.gate.load(std::memory_order_acquire);
  }
}

}  // namespace hoist
