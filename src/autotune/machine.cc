// The numbers of the machine that the cost model reads.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "autotune/problem.h"
#include "autotune/runner.h"

namespace hoist::autotune {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The least of a few: what the machine can do, not what it was disturbed to.
template <class F>
double least(int times, F body) {
  double best = 1e9;
  for (int i = 0; i < times; ++i) {
    const double start = now();
    body();
    best = std::min(best, now() - start);
  }
  return best;
}

// Bytes per second of one core reading and writing `bytes` (half each), again and again.
double copy_speed(std::byte* at, int64_t bytes) {
  const size_t half = static_cast<size_t>(bytes / 2);
  const int repeats = static_cast<int>(std::max<int64_t>(1, (int64_t{4} << 20) / bytes));
  std::memcpy(at, at + half, half);
  const double seconds = least(5, [&] {
    for (int i = 0; i < repeats; ++i) std::memcpy(at, at + half, half);
  });
  return static_cast<double>(bytes) * repeats / seconds;
}

// One core's time for a vector multiply-add in tiles that lie in its caches.
double step_seconds(kernels::Isa isa, DType type) {
  ThreadPoolOptions one;
  one.threads = 1;
  ThreadPool pool(one);
  Problem p{{type, type, GemmLayout::kPanels, 96, 512}, 384, 1, isa};
  Runner runner(p, pool, 1);
  const GemmSchedule s;
  runner.run(&s);
  const double seconds = least(5, [&] { runner.run(&s); });
  const Tile tile = tile_of(isa);
  return seconds / (p.operations() / 2 / static_cast<double>(tile.lanes * k_step(p)));
}

}  // namespace

Machine measure_machine(kernels::Isa isa, ThreadPool& pool) {
  Machine m;
  const Topology t = Topology::detect();
  if (t.l2_bytes > 0) m.l2_bytes = static_cast<double>(t.l2_bytes);
  if (t.l3_bytes > 0) m.l3_bytes = static_cast<double>(t.l3_bytes);
  m.l3_bytes = std::max(m.l3_bytes, 2 * m.l2_bytes);
  const int64_t far = std::max<int64_t>(static_cast<int64_t>(2 * m.l3_bytes), int64_t{64} << 20);
  auto device = device::make_cpu_device();
  device::Buffer memory = device->allocate(far);
  std::memset(memory.data(), 1, static_cast<size_t>(far));
  m.l2 = copy_speed(memory.data(), static_cast<int64_t>(m.l2_bytes / 2));
  m.l3 = std::min(m.l2,
                  copy_speed(memory.data(), static_cast<int64_t>(std::min(m.l3_bytes / 2, 4 * m.l2_bytes))));
  // All cores read what no cache holds.
  std::vector<int64_t> sums(static_cast<size_t>(pool.threads()) * 16, 0);
  const double seconds = least(3, [&] {
    pool.parallel_for(far / 65536, 16, [&](int64_t begin, int64_t end, int worker) {
      int64_t sum[8] = {};
      const std::byte* at = memory.data() + begin * 65536;
      for (int64_t i = 0; i < (end - begin) * 65536; i += 64)
        for (int j = 0; j < 8; ++j) {
          int64_t word;
          std::memcpy(&word, at + i + j * 8, 8);
          sum[j] += word;
        }
      for (int64_t s : sum) sums[static_cast<size_t>(worker) * 16] += s;
    });
  });
  m.memory = std::min(static_cast<double>(far) / seconds, m.l3 * pool.threads());
  m.fork_join = least(200, [&] { pool.parallel_for(pool.threads(), 1, [](int64_t, int64_t, int) {}); });
  m.f32_step = step_seconds(isa, DType::f32);
  m.bf16_step = step_seconds(isa, DType::bf16);
  return m;
}

std::string cpu_name() {
  std::string model, family, number;
  if (std::FILE* f = std::fopen("/proc/cpuinfo", "r")) {
    char line[256];
    while (std::fgets(line, sizeof line, f) && (model.empty() || family.empty() || number.empty())) {
      const std::string text = line;
      const size_t colon = text.find(": ");
      if (colon == std::string::npos) continue;
      std::string value = text.substr(colon + 2);
      while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ') value.pop_back();
      const std::string key = text.substr(0, text.find_first_of("\t:"));
      if (key == "model name" && model.empty()) model = value;
      if (key == "cpu family" && family.empty()) family = value;
      if (key == "model" && number.empty()) number = value;
    }
    std::fclose(f);
  }
  if (model.empty()) return "unknown";
  return model + ", family " + family + " model " + number;
}

}  // namespace hoist::autotune
