// The file that tuned schedules are kept in, and how a process comes to use them.
//
// JSON: {"format": "hoist-schedules", "version": 1, "entries": [{"cpu", "isa", "threads", "x", "w", "layout",
// "n", "k", "rows", "schedule": {"columns", "rows", "few_rows", "loop", "split", "side", "prefetch"},
// "seconds", "default_seconds"}, ...]}. Everything is checked; a schedule never changes results, so the worst
// that a wrong file can do is cost time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "autotune/problem.h"

namespace hoist::autotune {

struct ScheduleEntry {
  std::string cpu, isa;
  GemmKey key;
  int64_t m = 0;
  int threads = 1;
  GemmSchedule schedule;
  double seconds = 0, default_seconds = 0;
  bool same_place(const ScheduleEntry& o) const {
    return cpu == o.cpu && isa == o.isa && key == o.key && m == o.m && threads == o.threads;
  }
};

// $XDG_CACHE_HOME/hoist/schedules.json, or ~/.cache/hoist/schedules.json; HOIST_SCHEDULES comes before both.
// Empty: nowhere, or HOIST_SCHEDULES=off.
std::string default_schedules_path();

// Throws Error led by `source` for anything that print_schedules would not have written.
std::vector<ScheduleEntry> parse_schedules(std::string_view text, const std::string& source);
std::string print_schedules(const std::vector<ScheduleEntry>& entries);

// The file's entries; none if there is no such file.
std::vector<ScheduleEntry> load_schedules(const std::string& path);
// Adds to the file, in place of entries for the same; makes its folder. A file that cannot be read is
// replaced. Old or new, never half.
void save_schedules(const std::string& path, const std::vector<ScheduleEntry>& entries);

// Those for this CPU and instruction set.
kernels::cpu::GemmTable table_of(const std::vector<ScheduleEntry>& entries, const std::string& cpu,
                                 std::string_view isa);

// Once, when a process starts: reads the default file, and plans made from then on use what it says of this
// CPU. A file that cannot be used is said so on stderr and ignored.
void use_saved_schedules();

}  // namespace hoist::autotune
