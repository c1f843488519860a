#include "bench/machine.h"

#include <chrono>
#include <thread>

#include "bench/ceilings.h"

namespace hoist::bench {

namespace {

Row row(std::string name, std::string shape, std::string dtype, std::string unit, int threads, double value,
        std::string note) {
  Row r{std::move(name), std::move(shape), std::move(dtype), std::move(unit), threads, value};
  r.ceiling = value;  // the machine is its own ceiling
  r.note = std::move(note);
  return r;
}

// Median microseconds from calling parallel_for to its return when the bodies do nothing; with the workers
// still spinning from the call before, or asleep.
double fork_join(ThreadPool& pool, bool asleep, int times) {
  std::vector<double> spans;
  for (int i = 0; i < times; ++i) {
    if (asleep) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const double start = now();
    pool.parallel_for(pool.threads(), 1, [](int64_t, int64_t, int) {});
    spans.push_back((now() - start) * 1e6);
  }
  return median(std::move(spans));
}

}  // namespace

std::vector<Row> measure_machine(const MachineOptions& o, FunctionRef<void(const Row&)> done) {
  std::vector<Row> rows;
  auto add = [&](Row r) {
    done(r);
    rows.push_back(std::move(r));
  };
  auto median_of = [&](auto&& sample) {
    std::vector<double> values;
    for (int i = 0; i < o.rounds; ++i) values.push_back(sample());
    return median(std::move(values));
  };
  ThreadPoolOptions all;
  all.threads = o.threads;
  ThreadPool many(all);
  ThreadPoolOptions single;
  single.threads = 1;
  ThreadPool one(single);
  for (ThreadPool* pool : {&one, &many}) {
    if (pool == &many && many.threads() == 1) break;
    const int threads = pool->threads();
    Ceilings ceilings(o.isa, *pool, o.memory_bytes);
    const struct {
      Arithmetic arithmetic;
      const char *name, *dtype;
    } kinds[] = {{Arithmetic::kF32, "fma.f32", "f32"},
                 {Arithmetic::kBf16, "fma.bf16", "bf16"},
                 {Arithmetic::kI8, "dot.i8", "i8"}};
    for (const auto& k : kinds)
      add(row(k.name, "registers", k.dtype, "GFLOP/s", threads,
              median_of([&] { return ceilings.fma(k.arithmetic); }) * 1e-9,
              fma_probe(o.isa, k.arithmetic).name));
    const struct {
      Memory kind;
      const char* name;
    } walks[] = {{Memory::kRead, "memory.read"},
                 {Memory::kWrite, "memory.write"},
                 {Memory::kCopy, "memory.copy"},
                 {Memory::kUpdate, "memory.update"}};
    for (const auto& w : walks) {
      const char* chosen = ceilings.chosen(w.kind);
      add(row(w.name, std::to_string(ceilings.bytes() >> 20) + " MiB", "bytes", "GB/s", threads,
              median_of([&] { return ceilings.memory(w.kind); }) * 1e-9, chosen));
    }
  }
  for (bool asleep : {false, true}) {
    Row r = row("fork_join", asleep ? "after 1 ms" : "back to back", "none", "us", many.threads(),
                fork_join(many, asleep, asleep ? 100 : 2000), "lower is better");
    r.ceiling = 0;
    add(std::move(r));
  }
  if (!o.disk.empty()) {
    const DiskSpeed speed = measure_disk(o.disk, o.disk_bytes);
    const std::string shape = std::to_string(o.disk_bytes >> 20) + " MiB",
                      note = speed.direct ? "direct" : "cached";
    add(row("disk.write", shape, "bytes", "GB/s", 1, speed.write, note));
    add(row("disk.read", shape, "bytes", "GB/s", 1, speed.read, note));
  }
  return rows;
}

}  // namespace hoist::bench
