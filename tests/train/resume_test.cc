// A run that is stopped or killed anywhere, and started again, takes the very same steps.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "io/checkpoint_dir.h"
#include "io/files.h"
#include "support.h"
#include "support/json.h"

namespace hoist::train {
namespace {

Recipe small(const std::string& folder) {
  Recipe r = character_recipe(folder);
  r.hidden = 32;
  r.layers = 2;
  r.context = 16;
  r.steps = 60;
  r.warmup = 5;
  r.batch = 4;
  r.checkpoint_every = 7;
  r.max_bytes = 30000;
  r.paths = {std::string(HOIST_SOURCE_DIR) + "/CONTRIBUTING.md",
             std::string(HOIST_SOURCE_DIR) + "/README.md"};
  r.threads = 1;
  return r;
}

// step -> loss as hex, from metrics.jsonl. A step logged twice is a failure.
std::map<int64_t, std::string> losses_of(const std::string& folder) {
  std::map<int64_t, std::string> out;
  std::string text = io::read_file(folder + "/metrics.jsonl", 1 << 26);
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    support::Json line;
    try {
      line = support::Json::parse(std::string_view(text).substr(at, end - at));
    } catch (const std::runtime_error&) {  // cut short by a kill
    }
    at = end == std::string::npos ? text.size() : end + 1;
    if (line.is_null() || line["kind"] != "step") continue;
    EXPECT_TRUE(out.emplace(line["step"].get<int64_t>(), line["loss_hex"].get<std::string>()).second)
        << "step logged twice";
  }
  return out;
}

std::map<int64_t, std::string> undisturbed(const Recipe& recipe) {
  std::atomic<bool> stop{false};
  Trainer trainer(recipe, {});
  EXPECT_TRUE(trainer.run(stop));
  return losses_of(recipe.folder);
}

TEST(Resume, AfterAStopAtEveryKindOfMoment) {
  TemporaryFolder tmp;
  const auto want = undisturbed(small(tmp.path() + "/whole"));
  ASSERT_EQ(want.size(), 60u);
  for (bool accumulate : {false, true}) {
    Recipe r = small(tmp.path() + (accumulate ? "/stopped_acc" : "/stopped"));
    std::map<int64_t, std::string> expected = want;
    if (accumulate) {
      r.batch = 2;
      r.accumulate = 2;
      Recipe whole = r;
      whole.folder = tmp.path() + "/whole_acc";
      expected = undisturbed(whole);
    }
    bool done = false;
    for (int round = 0; !done && round < 20; ++round) {
      std::atomic<bool> stop{false};
      TrainObserver observer;
      int64_t first = -1;
      observer.step = [&](const StepResult& s, int64_t, double, double) {
        if (first < 0) first = s.step;
        if (s.step - first >= 3 + round) stop = true;
      };
      Trainer trainer(r, observer);
      done = trainer.run(stop);
    }
    EXPECT_TRUE(done);
    EXPECT_EQ(losses_of(r.folder), expected);
  }
}

TEST(Resume, OnAnotherNumberOfRanksGoesOn) {
  TemporaryFolder tmp;
  Recipe r = small(tmp.path() + "/run");
  std::atomic<bool> stop{false};
  TrainObserver observer;
  observer.step = [&](const StepResult& s, int64_t, double, double) { stop = s.step >= 20; };
  EXPECT_FALSE(Trainer(r, observer).run(stop));
  r.data = 2;
  r.tensor = 2;
  Trainer trainer(r, {});
  EXPECT_EQ(trainer.steps_done(), 20);
  stop = false;
  EXPECT_TRUE(trainer.run(stop));
}

TEST(Resume, AnotherRecipeOrOtherTextIsRefused) {
  TemporaryFolder tmp;
  Recipe r = small(tmp.path() + "/run");
  r.steps = 8;
  undisturbed(r);
  Recipe other = r;
  other.lr *= 2;
  EXPECT_THROW(Trainer(other, {}), Error);
  other = r;
  other.paths = {std::string(HOIST_SOURCE_DIR) + "/LICENSE"};
  EXPECT_THROW(Trainer(other, {}), Error);
}

// kill -9 at random moments of a separate process, again and again, until the run completes.
TEST(Resume, AfterKill9AtRandomMoments) {
  if (!io::path_exists(HOIST_BINARY)) GTEST_SKIP() << "needs the hoist binary";
  TemporaryFolder tmp;
  Recipe r = small(tmp.path() + "/killed");
  r.steps = 300;
  r.checkpoint_every = 10;
  Recipe whole = r;
  whole.folder = tmp.path() + "/whole";
  const auto want = undisturbed(whole);
  std::mt19937 random(std::random_device{}());
  // A run that reaches its end before 20 kills is followed by another, in a folder of its own.
  int kills = 0, runs = 0;
  for (; kills < 20 && runs < 60; ++runs) {
    r.folder = tmp.path() + "/killed" + std::to_string(runs);
    const std::string recipe = r.folder + ".toml", metrics = r.folder + "/metrics.jsonl";
    io::atomic_write(recipe, print(r));
    for (bool ended = false; !ended;) {
      const int64_t before = io::path_exists(metrics) ? io::file_size(metrics) : -1;
      pid_t pid = fork();
      ASSERT_GE(pid, 0);
      if (pid == 0) {
        if (!std::freopen("/dev/null", "w", stderr)) _exit(126);
        execl(HOIST_BINARY, HOIST_BINARY, "train", recipe.c_str(), static_cast<char*>(nullptr));
        _exit(127);
      }
      int status = 0;
      bool reaped = false;
      if (kills < 20) {
        // Not before the run has got to training: kills during start-up prove little.
        while (!(reaped = waitpid(pid, &status, WNOHANG) == pid) && io::file_size(metrics) == before)
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (!reaped) {
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 100000));
          kill(pid, SIGKILL);
        }
      }
      if (!reaped) {
        ASSERT_EQ(waitpid(pid, &status, 0), pid);
      }
      if (WIFSIGNALED(status)) ++kills;
      io::NewestCheckpoint newest = io::find_newest_checkpoint(r.folder + "/checkpoints");
      // What a killed save leaves under its temporary name is not a checkpoint.
      for (const auto& s : newest.skipped)
        EXPECT_NE(s.path.find("/.tmp-"), std::string::npos)
            << "unreadable checkpoint " << s.path << ": " << s.reason;
      if (WIFEXITED(status)) {
        ASSERT_EQ(WEXITSTATUS(status), 0);
        ended = true;
      }
    }
    EXPECT_EQ(losses_of(r.folder), want);
  }
  std::printf("killed %d times in %d runs\n", kills, runs);
  EXPECT_GE(kills, 20);
}

}  // namespace
}  // namespace hoist::train
