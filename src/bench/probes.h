// Probes: the shortest loops that reach what a core and its memory can do. ceilings.h chooses among them.
#pragma once

#include <cstdint>
#include <span>

#include "bench/row.h"

namespace hoist::bench {

// `steps` rounds of independent multiply-adds on vectors held in registers.
struct FmaProbe {
  const char* name;  // the instruction
  void (*run)(int64_t steps);
  double ops_per_step;  // 2 per multiply-add
};
// The fastest form of the arithmetic that the instruction set (and this machine) has; where it has none of
// its own for 16-bit floats, that of f32.
FmaProbe fma_probe(kernels::Isa isa, Arithmetic arithmetic);

// One thread's walk over [to, to + bytes), 64-byte aligned, a multiple of 4096 bytes. `from` is used by
// copies alone.
struct MemoryProbe {
  const char* name;
  void (*run)(std::byte* to, const std::byte* from, int64_t bytes);
};
enum class Memory { kRead, kWrite, kCopy, kUpdate };  // update: read, change and write back in place
// Several ways to do the same; which is fastest depends on the machine.
std::span<const MemoryProbe> memory_probes(kernels::Isa isa, Memory kind);

}  // namespace hoist::bench
