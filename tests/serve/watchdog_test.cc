// When an engine counts as stalled, on a clock of the test's own.
#include "serve/watchdog.h"

#include <gtest/gtest.h>

#include <future>
#include <random>

namespace hoist::serve {
namespace {

EngineLoad load(bool busy, int64_t steps) {
  EngineLoad l;
  l.busy = busy;
  l.steps = steps;
  return l;
}

TEST(StallDetector, WantsWorkWithoutAStepForTheLimit) {
  StallDetector d(10);
  EXPECT_FALSE(d.update(load(false, 0), 0));
  EXPECT_FALSE(d.update(load(false, 0), 100)) << "an idle engine does not stall";
  EXPECT_FALSE(d.update(load(true, 0), 101));
  EXPECT_FALSE(d.update(load(true, 0), 109.9));
  EXPECT_TRUE(d.update(load(true, 0), 110));
  EXPECT_TRUE(d.update(load(true, 0), 500));
  EXPECT_FALSE(d.update(load(true, 1), 501)) << "it moves again";
  EXPECT_FALSE(d.update(load(true, 1), 510));
  EXPECT_TRUE(d.update(load(true, 1), 511));
  EXPECT_FALSE(d.update(load(false, 1), 512));
}

// Whatever happens: stalled exactly when no step and no idleness was seen for the limit.
TEST(StallDetector, AgreesWithItsDefinition) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    StallDetector d(7);
    int64_t steps = 0;
    double now = 0, since = 0;
    bool first = true;
    for (int i = 0; i < 100; ++i) {
      now += random() % 4;
      const bool busy = random() % 8 != 0, step = random() % 6 == 0;
      steps += step;
      if (first || !busy || step) since = now;
      first = false;
      EXPECT_EQ(d.update(load(busy, steps), now), now - since >= 7 && now != since);
    }
  }
}

TEST(Watchdog, TellsAStallAndItsEnd) {
  std::atomic<int64_t> steps{1};
  std::promise<void> stalled, moving;
  Watchdog dog(
      0.02, [&] { return load(true, steps); },
      [&](bool now) {
        if (now) {
          stalled.set_value();
          ++steps;
        } else if (steps == 2) {
          moving.set_value();
          steps = 1000;  // further verdicts are not waited for
        }
      });
  EXPECT_EQ(stalled.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(moving.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

}  // namespace
}  // namespace hoist::serve
