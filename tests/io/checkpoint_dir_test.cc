#include "io/checkpoint_dir.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "io/checkpoint_files.h"
#include "support.h"

namespace hoist::io {
namespace {

void save(const std::string& root, int64_t step) {
  StagedFolder staged(root, checkpoint_name(step));
  CheckpointWriter writer(staged.path(), {{"w", DType::f32, {64}}, {"v", DType::f32, {64}}}, 256);
  const std::vector<float> values(64, static_cast<float>(step));
  for (const TensorSpec& spec : writer.order()) writer.write_as(spec.name, DType::f32, values.data(), 64);
  staged.add(writer.finish());
  atomic_write(join_path(staged.path(), "state.json"), std::to_string(step));
  staged.commit();
}

float value_in(const std::string& folder) {
  float x = 0;
  CheckpointFiles(folder).read_as("w", DType::f32, &x, 63, 1);
  return x;
}

TEST(CheckpointDir, SavesAndFindsTheNewest) {
  TempDir dir;
  EXPECT_FALSE(find_newest_checkpoint(dir.path("none")).found);
  for (int step : {5, 100, 20}) save(dir.path("run"), step);
  const NewestCheckpoint newest = find_newest_checkpoint(dir.path("run"));
  ASSERT_TRUE(newest.found);
  EXPECT_EQ(newest.found->step, 100);
  EXPECT_EQ(newest.found->path, dir.path("run/step-00000100"));
  EXPECT_TRUE(newest.skipped.empty());
  EXPECT_EQ(list_dir(dir.path("run")).size(), 3u);
}

TEST(CheckpointDir, ReplacesAStepAtOnce) {
  TempDir dir;
  save(dir.path(), 7);
  atomic_write(dir.path("step-00000007/extra"), "old");
  save(dir.path(), 7);
  EXPECT_FALSE(path_exists(dir.path("step-00000007/extra")));
  EXPECT_EQ(list_dir(dir.path()), (std::vector<std::string>{"step-00000007"}));
}

TEST(CheckpointDir, AbandonedSaveLeavesNothing) {
  TempDir dir;
  {
    StagedFolder staged(dir.path(), "step-00000001");
    atomic_write(join_path(staged.path(), "a"), "x");
  }
  EXPECT_TRUE(list_dir(dir.path()).empty());
}

// Every call that touches the disk fails once, or for ever from there on: the old checkpoint stays the
// newest, or the new one is whole.
TEST(CheckpointDir, FailureAtAnyCallKeepsACompleteCheckpoint) {
  for (int error : {ENOSPC, EIO, EDQUOT, EROFS}) {
    for (bool sticky : {false, true}) {
      for (bool replace : {false, true}) {
        const int64_t next = replace ? 100 : 200;
        for (int nth = 0;; ++nth) {
          TempDir dir;
          save(dir.path(), 100);
          std::string message;
          int calls;
          {
            FaultyOps faults(nth, error, sticky);
            message = message_of([&] { save(dir.path(), next); });
            calls = FaultyOps::calls();
          }
          if (calls <= nth) {
            EXPECT_EQ(message, "");
            break;
          }
          if (!message.empty()) {
            EXPECT_NE(message.find(dir.path()), std::string::npos) << message;
            EXPECT_NE(message.find(strerror(error)), std::string::npos) << message;
          }
          const NewestCheckpoint newest = find_newest_checkpoint(dir.path());
          ASSERT_TRUE(newest.found) << "call " << nth << ": " << message;
          EXPECT_TRUE(newest.found->step == 100 || newest.found->step == next);
          EXPECT_EQ(value_in(newest.found->path), static_cast<float>(newest.found->step));
          remove_leftovers(dir.path());
          for (const std::string& name : list_dir(dir.path())) EXPECT_EQ(name.rfind("step-", 0), 0u) << name;
          save(dir.path(), 300);  // and the run may go on
          EXPECT_EQ(find_newest_checkpoint(dir.path()).found->step, 300);
        }
      }
    }
  }
}

TEST(CheckpointDir, ShortWritesAreHarmless) {
  TempDir dir;
  {
    FaultyOps faults(0, FaultyOps::kShortWrite, true);
    save(dir.path(), 1);
  }
  EXPECT_TRUE(find_newest_checkpoint(dir.path()).found);
}

TEST(CheckpointDir, KillAtAnyMomentLeavesOneToResume) {
  TempDir dir;
  save(dir.path(), 1);
  std::mt19937 random(11);
  int64_t last = 1;
  for (int round = 0; round < 25; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        remove_leftovers(dir.path());
        for (int64_t step = last + 1; step < 1000000; ++step) {
          save(dir.path(), step);
          rotate_checkpoints(dir.path(), 2);
        }
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    ::usleep(random() % 20000);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    const NewestCheckpoint newest = find_newest_checkpoint(dir.path());
    ASSERT_TRUE(newest.found);
    EXPECT_GE(newest.found->step, last);
    EXPECT_EQ(value_in(newest.found->path), static_cast<float>(newest.found->step));
    for (const SkippedCheckpoint& skipped : newest.skipped)
      EXPECT_NE(skipped.path.find(".tmp-"), std::string::npos);
    last = newest.found->step;
  }
}

TEST(CheckpointDir, AnyFlippedBitFallsBackAndNamesTheFile) {
  TempDir dir;
  save(dir.path(), 1);
  save(dir.path(), 2);
  std::mt19937 random(5);
  const std::string newest = dir.path("step-00000002");
  for (const std::string& name : list_dir(newest)) {
    const std::string path = join_path(newest, name), good = read_file(path, 1 << 20);
    for (int i = 0; i < 40; ++i) {
      std::string bad = good;
      const size_t bit = random() % (bad.size() * 8);
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
      atomic_write(path, bad);
      const NewestCheckpoint found = find_newest_checkpoint(dir.path());
      ASSERT_TRUE(found.found);
      if (name == "manifest.json" && found.found->step == 2) continue;  // a bit that changed nothing it says
      EXPECT_EQ(found.found->step, 1) << name << " bit " << bit;
      ASSERT_EQ(found.skipped.size(), 1u);
      if (name != "manifest.json") {
        EXPECT_NE(found.skipped[0].reason.find(path), std::string::npos);
      }
    }
    atomic_write(path, good);
  }
}

TEST(CheckpointDir, EveryDamageIsNamed) {
  TempDir dir;
  save(dir.path(), 1);
  const std::string folder = dir.path("step-00000001"), file = join_path(folder, "state.json");
  const auto verify = [&] { return message_of([&] { verify_manifest(folder); }); };
  EXPECT_EQ(verify(), "");
  atomic_write(file, "2");
  EXPECT_NE(verify().find("checksum"), std::string::npos);
  EXPECT_EQ(message_of([&] { verify_manifest(folder, false); }), "");
  atomic_write(file, "22");
  EXPECT_NE(verify().find("state.json: found 2 bytes, expected 1"), std::string::npos);
  remove_file(file);
  EXPECT_NE(verify().find("it is missing"), std::string::npos);
  const std::string manifest = join_path(folder, "manifest.json");
  for (const char* text : {"{}", "[]", "{\"format\":\"hoist-manifest\",\"version\":2,\"files\":{}}",
                           "{\"format\":\"x\",\"version\":1,\"files\":{}}",
                           "{\"format\":\"hoist-manifest\",\"version\":1,\"files\":{\"../"
                           "x\":{\"bytes\":1,\"xxh3_128\":\"\"}}}"}) {
    atomic_write(manifest, text);
    EXPECT_EQ(code_of([&] { verify_manifest(folder); }), ErrorCode::kCorrupt) << text;
  }
  remove_file(manifest);
  EXPECT_EQ(code_of([&] { verify_manifest(folder); }), ErrorCode::kNotFound);
}

TEST(CheckpointDir, RotationNeverRemovesTheLastGoodOne) {
  TempDir dir;
  for (int step = 1; step <= 5; ++step) save(dir.path(), step);
  rotate_checkpoints(dir.path(), 3);
  EXPECT_EQ(list_checkpoints(dir.path()).front().step, 3);
  remove_file(dir.path("step-00000005/manifest.json"));
  remove_file(dir.path("step-00000004/state.json"));
  rotate_checkpoints(dir.path(), 1);
  EXPECT_EQ(find_newest_checkpoint(dir.path()).found->step, 3);
  make_dirs(dir.path("step-00000006"));  // what a stranger made
  rotate_checkpoints(dir.path(), 1);
  EXPECT_EQ(find_newest_checkpoint(dir.path()).found->step, 3);
  EXPECT_EQ(find_newest_checkpoint(dir.path()).skipped.size(), 3u);
}

TEST(CheckpointDir, OddNamesAreNoCheckpoints) {
  TempDir dir;
  for (const char* name : {"step-", "step-1", "step-0000001x", "step-99999999999999999999", "other"})
    make_dirs(dir.path(name));
  atomic_write(dir.path("step-00000009"), "a file");
  EXPECT_TRUE(list_checkpoints(dir.path()).empty());
}

}  // namespace
}  // namespace hoist::io
