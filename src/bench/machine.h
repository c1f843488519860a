// What the machine can do: multiply-adds, memory, disk, and how fast threads start and meet.
#pragma once

#include <string>
#include <vector>

#include "base/function_ref.h"
#include "bench/row.h"

namespace hoist::bench {

struct MachineOptions {
  kernels::Isa isa = kernels::best_isa();
  int threads = 0;           // of the rows for all cores; 0: one per core
  int rounds = 7;            // medians of this many
  int64_t memory_bytes = 0;  // walked by the bandwidth rows; 0: far more than the caches hold
  std::string disk;          // a folder on the disk to measure; empty: no disk rows
  int64_t disk_bytes = int64_t{1} << 30;
};

// Rows fma.f32, fma.bf16, dot.i8 (GFLOP/s), memory.read|write|copy|update (GB/s) on one thread and on all;
// fork_join (us) of the product's pool; disk.write, disk.read (GB/s). Calls `done` with each.
std::vector<Row> measure_machine(const MachineOptions& options, FunctionRef<void(const Row&)> done);

// Writes and reads a file in `folder`, past the page cache where the file system allows it, and removes it.
// GB/s; `direct` says whether the cache was passed by. Throws Error(kIo) naming the folder.
struct DiskSpeed {
  double write = 0, read = 0;
  bool direct = true;
};
DiskSpeed measure_disk(const std::string& folder, int64_t bytes);

}  // namespace hoist::bench
