// What is tuned, and on what: a product of one size on one CPU, and the numbers of the machine that matter to
// it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/threads.h"
#include "kernels/cpu/gemm/schedule.h"
#include "kernels/kernel.h"

namespace hoist::autotune {

using kernels::cpu::GemmKey;
using kernels::cpu::GemmLayout;
using kernels::cpu::GemmSchedule;

// c[m, n] = x[m, k] w[k, n], stored as f32 or bf16 like x.
struct Problem {
  GemmKey key;
  int64_t m = 0;
  int threads = 1;
  kernels::Isa isa = kernels::Isa::kPortable;

  double operations() const {
    return 2 * static_cast<double>(m) * static_cast<double>(key.n) * static_cast<double>(key.k);
  }
  int64_t weight_bytes() const { return key.n * key.k * dtype_size(key.w); }
  std::string text() const;  // "256x768x3072 f32 panels"
};

// The register tile of an instruction set, in rows, columns and vectors across it.
struct Tile {
  int64_t rows, columns, lanes;
};
Tile tile_of(kernels::Isa isa);
// Elements of k that one multiply-add takes.
int64_t k_step(const Problem& p);

// Sizes of caches, and speeds of one core (of all for `memory`), in bytes per second.
struct Machine {
  double l1_bytes = 32 << 10, l2_bytes = 1 << 20, l3_bytes = 32 << 20;
  double l2 = 80e9, l3 = 30e9, memory = 30e9;
  double fork_join = 3e-6;                       // seconds of one parallel_for
  double f32_step = 0.4e-9, bf16_step = 0.4e-9;  // seconds of one vector multiply-add in the tile
  double step(const Problem& p) const { return k_step(p) == 2 ? bf16_step : f32_step; }
};
// Measures a Machine in about a tenth of a second.
Machine measure_machine(kernels::Isa isa, ThreadPool& pool);
// What results belong to: "AMD EPYC 9R14, family 25 model 17"; "unknown" where the system does not say.
std::string cpu_name();

// Whether the product runs with its operands changed over, and whether it reads w as it lies.
struct Route {
  bool swapped, few;
  int64_t m, n;  // as they are then
};
Route route_of(const Problem& p, const GemmSchedule& s);

// Every schedule that is legal for the problem, the default first. Schedules that would run alike are listed
// once.
std::vector<GemmSchedule> schedule_space(const Problem& p);

// Seconds that the model expects (model.cc says how).
double predict(const Problem& p, const GemmSchedule& s, const Machine& machine);

}  // namespace hoist::autotune
