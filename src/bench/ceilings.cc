#include "bench/ceilings.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

namespace hoist::bench {

namespace {
constexpr double kFmaSeconds = 0.003;  // of one sample
constexpr int kTries = 4;

// How often a thread of this process was stopped although it had more to do.
int64_t interruptions() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}
}  // namespace

double calmest(FunctionRef<double()> sample) {
  double best = 0;
  int64_t fewest = -1;
  for (int i = 0; i < kTries && fewest != 0; ++i) {
    const int64_t before = interruptions();
    const double value = sample();
    const int64_t count = interruptions() - before;
    if (fewest < 0 || count < fewest) {
      fewest = count;
      best = value;
    }
  }
  return best;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double median_ratio(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> ratios;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) ratios.push_back(a[i] / b[i]);
  return median(std::move(ratios));
}

int64_t cache_bytes() {
  static const int64_t bytes = std::max<int64_t>(Topology::detect().l3_bytes, 4 << 20);
  return bytes;
}

Ceilings::Ceilings(kernels::Isa isa, ThreadPool& pool, int64_t bytes)
    : isa_(isa), pool_(pool), bytes_(bytes > 0 ? bytes : std::max<int64_t>(8 * cache_bytes(), 256 << 20)) {
  // A whole number of parts for every thread and every stream within it.
  const int64_t unit = int64_t{1 << 16} * pool.threads();
  bytes_ = std::max<int64_t>(1, bytes_ / unit) * unit;
}

double Ceilings::fma(Arithmetic arithmetic) {
  const FmaProbe probe = fma_probe(isa_, arithmetic);
  // As many steps as a core at 4 GHz does in the time wanted, at two vectors per cycle.
  const int64_t steps = static_cast<int64_t>(kFmaSeconds * 4e9 / 12);
  const int64_t n = pool_.threads();
  const double seconds = calmest([&] {
    const double start = now();
    pool_.parallel_for(n, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) probe.run(steps);
    });
    return now() - start;
  });
  return probe.ops_per_step * static_cast<double>(steps * n) / seconds;
}

double Ceilings::walk(const MemoryProbe& probe) {
  if (!memory_) memory_.emplace(2 * bytes_);
  const int64_t threads = pool_.threads(), part = bytes_ / threads;
  const double seconds = calmest([&] {
    const double start = now();
    pool_.parallel_for(threads, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        probe.run(memory_->data() + i * part, memory_->data() + bytes_ + i * part, part);
    });
    return now() - start;
  });
  return static_cast<double>(bytes_) / seconds;
}

double Ceilings::memory(Memory kind) {
  const MemoryProbe*& best = chosen_[static_cast<size_t>(kind)];
  if (!best) {
    // Every way three times over, in turns; the fastest one stays.
    const std::span<const MemoryProbe> probes = memory_probes(isa_, kind);
    std::vector<double> rates(probes.size(), 0);
    for (int round = 0; round < 3; ++round)
      for (size_t i = 0; i < probes.size(); ++i) rates[i] = std::max(rates[i], walk(probes[i]));
    best = &probes[static_cast<size_t>(std::max_element(rates.begin(), rates.end()) - rates.begin())];
  }
  return walk(*best) * (kind == Memory::kCopy || kind == Memory::kUpdate ? 2 : 1);
}

const char* Ceilings::chosen(Memory kind) {
  if (!chosen_[static_cast<size_t>(kind)]) memory(kind);
  return chosen_[static_cast<size_t>(kind)]->name;
}

double Ceilings::seconds(const Work& work) {
  const double compute = work.ops > 0 ? work.ops / fma(work.arithmetic) : 0;
  double move = 0;
  if (work.read > 0) move += work.read / memory(Memory::kRead);
  if (work.written > 0) move += work.written / memory(Memory::kWrite);
  return std::max(compute, move);
}

}  // namespace hoist::bench
