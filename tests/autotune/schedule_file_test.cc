// The file of schedules: what is written reads back, and nothing hostile gets through.
#include "autotune/schedule_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "io/files.h"

namespace hoist::autotune {
namespace {

std::vector<ScheduleEntry> samples() {
  ScheduleEntry a;
  a.cpu = "A \"CPU\", family 25 model 17";
  a.isa = "avx512dot";
  a.key = {DType::bf16, DType::bf16, GemmLayout::kPanels, 768, 3072};
  a.m = 256;
  a.threads = 2;
  a.schedule.columns = 480;
  a.schedule.rows = 96;
  a.schedule.few_rows = 0;
  a.schedule.loop = GemmSchedule::Loop::kSliversInside;
  a.schedule.split = GemmSchedule::Split::kGrid;
  a.schedule.side = GemmSchedule::Side::kSwapped;
  a.schedule.prefetch = false;
  a.seconds = 1.5e-3;
  a.default_seconds = 1.75e-3;
  ScheduleEntry b;
  b.cpu = "other";
  b.isa = "avx2";
  b.key = {DType::f32, DType::f32, GemmLayout::kNt, 1, 1};
  b.m = 1;
  return {a, b};
}

bool same(const ScheduleEntry& a, const ScheduleEntry& b) {
  return a.same_place(b) && a.schedule == b.schedule && a.seconds == b.seconds &&
         a.default_seconds == b.default_seconds;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/hoist_schedules_XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Folder() { io::remove_tree(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST(ScheduleFile, RoundTrip) {
  const std::vector<ScheduleEntry> all = samples(), back = parse_schedules(print_schedules(all), "test");
  ASSERT_EQ(back.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(same(all[i], back[i]));
  EXPECT_TRUE(parse_schedules(print_schedules({}), "test").empty());
}

TEST(ScheduleFile, RefusesWhatItWouldNotWrite) {
  const std::string good = print_schedules({samples()[0]});
  const std::pair<const char*, const char*> edits[] = {
      {"\"hoist-schedules\"", "\"other\""},
      {"\"version\": 1", "\"version\": 2"},
      {"\"columns\": 480", "\"columns\": 481"},
      {"\"columns\": 480", "\"columns\": 816"},
      {"\"columns\": 480", "\"columns\": -48"},
      {"\"columns\": 480", "\"columns\": 65584"},  // 48 in 16 bits
      {"\"columns\": 480", "\"columns\": 4.8e2"},
      {"\"rows\": 96", "\"rows\": 95"},
      {"\"rows\": 96", "\"rows\": 2064"},
      {"\"few_rows\": 0", "\"few_rows\": 5"},
      {"\"few_rows\": 0", "\"few_rows\": -1"},
      {"\"slivers\"", "\"sideways\""},
      {"\"grid\"", "null"},
      {"\"swapped\"", "\"\""},
      {"\"prefetch\": false", "\"prefetch\": 0"},
      {"\"n\": 768", "\"n\": 0"},
      {"\"k\": 3072", "\"k\": 9223372036854775807"},
      {"\"k\": 3072", "\"k\": 99999999999999999999"},
      {"\"rows\": 256", "\"rows\": -1"},
      {"\"threads\": 2", "\"threads\": 0"},
      {"\"threads\": 2", "\"threads\": 2, \"threads\": 2"},
      {"\"x\": \"bf16\"", "\"x\": \"i8\""},
      {"\"x\": \"bf16\"", "\"y\": \"bf16\""},
      {"\"panels\"", "\"tiles\""},
      {"\"isa\": \"avx512dot\"", "\"isa\": \"avx512dot avx512dot avx512dot avx512dot\""},
      {"\"entries\": [", "\"entries\": [[], "},
      {"\"entries\": [", "\"entries\": 7, \"e\": ["},
  };
  for (const auto& [from, to] : edits)
    EXPECT_THROW(parse_schedules(replaced(good, from, to), "test"), Error) << from << " -> " << to;
  // Cut short anywhere.
  for (size_t n = 0; n + 2 < good.size(); n += 3)
    EXPECT_THROW(parse_schedules(good.substr(0, n), "test"), Error);
  EXPECT_THROW(parse_schedules(std::string(100000, '['), "test"), Error);
  EXPECT_THROW(parse_schedules("\xff\xfe", "test"), Error);
  EXPECT_THROW(parse_schedules("null", "test"), Error);
}

TEST(ScheduleFile, AnyByteChangedIsReadOrRefused) {
  const std::string good = print_schedules({samples()[0]});
  for (size_t i = 0; i < good.size(); ++i)
    for (char c : {'\0', '"', '9', '}', '\x80'}) {
      std::string bad = good;
      bad[i] = c;
      try {
        for (const ScheduleEntry& e : parse_schedules(bad, "test")) EXPECT_TRUE(e.schedule.legal());
      } catch (const Error&) {
      }
    }
}

TEST(ScheduleFile, TooManyEntriesAreRefused) {
  std::string text = R"({"format": "hoist-schedules", "version": 1, "entries": [0)";
  for (int i = 0; i < 9000; ++i) text += ",0";
  EXPECT_THROW(parse_schedules(text + "]}", "test"), Error);
}

TEST(ScheduleFile, SavingMergesAndReplacesWhatIsBroken) {
  const Folder folder;
  const std::string path = folder.file("a/schedules.json");
  EXPECT_TRUE(load_schedules(path).empty());
  save_schedules(path, {samples()[0]});
  ScheduleEntry again = samples()[0];
  again.schedule = {};
  save_schedules(path, {samples()[1], again});
  const std::vector<ScheduleEntry> all = load_schedules(path);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(same(all[1], again));
  io::atomic_write(path, "{broken");
  EXPECT_THROW(load_schedules(path), Error);
  save_schedules(path, {samples()[1]});
  EXPECT_EQ(load_schedules(path).size(), 1u);
}

TEST(ScheduleFile, TableHoldsThisMachineOnly) {
  const std::vector<ScheduleEntry> all = samples();
  const kernels::cpu::GemmTable table = table_of(all, "other", "avx2");
  EXPECT_EQ(table.products().size(), 1u);
  EXPECT_NE(table.find(all[1].key), nullptr);
  EXPECT_TRUE(table_of(all, "other", "avx512").empty());
  EXPECT_TRUE(table_of(all, "neither", "avx2").empty());
}

TEST(ScheduleFile, ABrokenFileIsReportedAndIgnored) {
  const Folder folder;
  const std::string path = folder.file("schedules.json");
  io::atomic_write(path, "[1, 2");
  setenv("HOIST_SCHEDULES", path.c_str(), 1);
  testing::internal::CaptureStderr();
  use_saved_schedules();
  EXPECT_NE(testing::internal::GetCapturedStderr().find(path), std::string::npos);
  EXPECT_EQ(kernels::cpu::gemm_table(), nullptr);
  setenv("HOIST_SCHEDULES", "off", 1);
  EXPECT_EQ(default_schedules_path(), "");
  unsetenv("HOIST_SCHEDULES");
}

}  // namespace
}  // namespace hoist::autotune
