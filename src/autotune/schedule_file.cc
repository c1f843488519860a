#include "autotune/schedule_file.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "io/files.h"
#include "io/json.h"
#include "io/json_value.h"

namespace hoist::autotune {
namespace {

namespace cpu = kernels::cpu;

constexpr size_t kMostBytes = size_t{8} << 20;
constexpr size_t kMostEntries = 8192;
constexpr int64_t kMostSize = int64_t{1} << 40;

DType read_dtype(const io::Json& at) {
  const auto type = dtype_from_name(at.as_string(8));
  if (!type || (*type != DType::f32 && *type != DType::bf16)) at.refuse("f32 or bf16");
  return *type;
}

template <class E>
E read_name(const io::Json& at, bool (*find)(std::string_view, E*), const char* expected) {
  E value{};
  if (!find(at.as_string(16), &value)) at.refuse(expected);
  return value;
}

GemmSchedule read_schedule(const io::Json& at) {
  GemmSchedule s;
  s.columns = static_cast<uint16_t>(at.get_int("columns", 0, cpu::kMostColumns));
  s.rows = static_cast<uint16_t>(at.get_int("rows", 0, cpu::kMostRows));
  s.few_rows = static_cast<uint8_t>(at.get_int("few_rows", 0, 4));
  s.loop = read_name(at.at("loop"), cpu::find_loop, "panels or slivers");
  s.split = read_name(at.at("split"), cpu::find_split, "auto, columns, rows or grid");
  s.side = read_name(at.at("side"), cpu::find_side, "auto, straight or swapped");
  s.prefetch = at.get_bool("prefetch");
  if (!s.legal()) at.refuse("columns and rows that are multiples of 48");
  return s;
}

ScheduleEntry read_entry(const io::Json& at) {
  ScheduleEntry e;
  e.cpu = at.at("cpu").as_string(256);
  e.isa = at.at("isa").as_string(32);
  e.key.x = read_dtype(at.at("x"));
  e.key.w = read_dtype(at.at("w"));
  e.key.layout = read_name(at.at("layout"), cpu::find_layout, "nn, nt, tn, tt or panels");
  e.key.n = at.get_int("n", 1, kMostSize);
  e.key.k = at.get_int("k", 1, kMostSize);
  e.m = at.get_int("rows", 1, kMostSize);
  e.threads = static_cast<int>(at.get_int("threads", 1, 4096));
  e.schedule = read_schedule(at.at("schedule"));
  e.seconds = at.get_double_or("seconds", 0, 0, 1e9);
  e.default_seconds = at.get_double_or("default_seconds", 0, 0, 1e9);
  return e;
}

}  // namespace

std::string default_schedules_path() {
  if (const char* path = std::getenv("HOIST_SCHEDULES"); path && *path)
    return std::string_view(path) == "off" ? "" : path;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache == '/')
    return std::string(cache) + "/hoist/schedules.json";
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    return std::string(home) + "/.cache/hoist/schedules.json";
  return "";
}

std::vector<ScheduleEntry> parse_schedules(std::string_view text, const std::string& source) {
  io::JsonOptions options;
  options.max_bytes = kMostBytes;
  options.max_depth = 8;
  options.value_error = ErrorCode::kCorrupt;
  const io::JsonDocument document = io::JsonDocument::parse(text, source, options);
  const io::Json root = document.root();
  if (root.get_string("format") != "hoist-schedules") root.at("format").refuse("\"hoist-schedules\"");
  root.get_int("version", 1, 1);
  const io::Json list = root.at("entries");
  if (!list.is_array() || list.size() > kMostEntries) list.refuse("a list of at most 8192 entries");
  std::vector<ScheduleEntry> entries;
  for (const io::Json& at : list.elements()) entries.push_back(read_entry(at));
  return entries;
}

std::string print_schedules(const std::vector<ScheduleEntry>& entries) {
  io::JsonValue list = io::JsonValue::array();
  for (const ScheduleEntry& e : entries) {
    const GemmSchedule& s = e.schedule;
    list.push_back({{"cpu", e.cpu},
                    {"isa", e.isa},
                    {"threads", e.threads},
                    {"x", dtype_name(e.key.x)},
                    {"w", dtype_name(e.key.w)},
                    {"layout", cpu::layout_name(e.key.layout)},
                    {"n", e.key.n},
                    {"k", e.key.k},
                    {"rows", e.m},
                    {"schedule",
                     {{"columns", s.columns},
                      {"rows", s.rows},
                      {"few_rows", s.few_rows},
                      {"loop", cpu::loop_name(s.loop)},
                      {"split", cpu::split_name(s.split)},
                      {"side", cpu::side_name(s.side)},
                      {"prefetch", s.prefetch}}},
                    {"seconds", e.seconds},
                    {"default_seconds", e.default_seconds}});
  }
  const io::JsonValue root = {{"format", "hoist-schedules"}, {"version", 1}, {"entries", list}};
  return root.dump(1) + "\n";
}

std::vector<ScheduleEntry> load_schedules(const std::string& path) {
  if (!io::path_exists(path)) return {};
  return parse_schedules(io::read_file(path, kMostBytes), path);
}

void save_schedules(const std::string& path, const std::vector<ScheduleEntry>& entries) {
  std::vector<ScheduleEntry> all;
  try {
    all = load_schedules(path);
  } catch (const Error& e) {
    std::fprintf(stderr, "note: %s; the file is replaced\n", e.what());
  }
  for (const ScheduleEntry& e : entries) {
    std::erase_if(all, [&](const ScheduleEntry& old) { return old.same_place(e); });
    all.push_back(e);
  }
  if (all.size() > kMostEntries)
    all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(kMostEntries));  // the oldest go
  if (const size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0)
    io::make_dirs(path.substr(0, slash));
  io::atomic_write(path, print_schedules(all));
}

cpu::GemmTable table_of(const std::vector<ScheduleEntry>& entries, const std::string& name,
                        std::string_view isa) {
  cpu::GemmTable table;
  for (const ScheduleEntry& e : entries)
    if (e.cpu == name && e.isa == isa) table.set(e.key, {e.m, e.threads, e.schedule});
  return table;
}

void use_saved_schedules() {
  const std::string path = default_schedules_path();
  if (path.empty()) return;
  try {
    const std::vector<ScheduleEntry> entries = load_schedules(path);
    if (entries.empty()) return;
    cpu::GemmTable table = table_of(entries, cpu_name(), kernels::isa_name(kernels::best_isa()));
    if (table.empty()) return;
    // Plans point into the table until the process ends.
    static const cpu::GemmTable* const kept = new cpu::GemmTable(std::move(table));
    cpu::use_gemm_table(kept);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "hoist: %s; tuned schedules are not used (hoist tune writes them anew)\n", e.what());
  }
}

}  // namespace hoist::autotune
