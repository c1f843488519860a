// The image classifier learns, and the same recipe gives the same bits whatever the threads.
#include <gtest/gtest.h>

#include <set>

#include "data/digits.h"
#include "io/files.h"
#include "support.h"
#include "train/digits_trainer.h"

namespace hoist::train {
namespace {

Recipe digits_recipe() {
  Recipe r;
  r.task = "digits";
  r.maps = 8;
  r.pictures = 1500;
  r.held_out = 500;
  r.steps = 70;
  r.batch = 32;
  r.lr = 5e-3;
  r.warmup = 5;
  r.decay = 0.01;
  r.threads = 2;
  r.eval_every = 0;
  return r;
}

TEST(Digits, ArePicturesOfTheirIndexAlone) {
  std::vector<float> a(data::kDigitSize * data::kDigitSize), b(a.size());
  std::set<int32_t> labels;
  for (int64_t i = 0; i < 200; ++i) {
    const int32_t label = data::draw_digit(5, i, a.data());
    EXPECT_EQ(label, data::draw_digit(5, i, b.data()));
    EXPECT_EQ(a, b);
    labels.insert(label);
    data::draw_digit(6, i, b.data());
    EXPECT_NE(a, b);
  }
  EXPECT_EQ(labels.size(), 10u);
}

TEST(Digits, AreLearned) {
  const TemporaryFolder folder;
  Recipe r = digits_recipe();
  r.folder = folder.path() + "/run";
  DigitsTrainer trainer(r, {});
  const std::atomic<bool> stop{false};
  ASSERT_TRUE(trainer.run(stop));
  const DigitsTrainer::Score score = trainer.evaluate();
  EXPECT_GE(score.accuracy, 0.85);
  for (const char* name : {"/model.safetensors", "/accuracy.json", "/metrics.jsonl", "/recipe.toml"})
    EXPECT_TRUE(io::path_exists(r.folder + name)) << name;
}

TEST(Digits, ThreadsChangeNoBits) {
  std::vector<float> losses[2];
  for (int i = 0; i < 2; ++i) {
    Recipe r = digits_recipe();
    r.threads = i == 0 ? 1 : 3;
    r.pictures = r.held_out = 64;
    DigitsTrainer trainer(r, {});
    for (int step = 0; step < 5; ++step) losses[i].push_back(trainer.step().loss);
  }
  EXPECT_EQ(losses[0], losses[1]);
}

}  // namespace
}  // namespace hoist::train
