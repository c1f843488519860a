#include "train/recipe.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace hoist::train {
namespace {

constexpr const char* kMinimal = "[data]\npaths = [\"a.txt\"]\n";

std::string message(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  try {
    parse_recipe(toml, "r.toml", overrides);
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Recipe, PrintsAndParsesBack) {
  Recipe r = parse_recipe(kMinimal, "r.toml",
                          {"lr=0.001", "model.family=gpt2", "output.folder=out/x y", "biases=false"});
  EXPECT_EQ(r.lr, 0.001);
  EXPECT_EQ(r.family, "gpt2");
  EXPECT_EQ(r.folder, "out/x y");
  EXPECT_FALSE(r.biases);
  EXPECT_EQ(print(parse_recipe(print(r), "again", {})), print(r));
}

TEST(Recipe, OverridesWinAndIntegersServeAsNumbers) {
  Recipe r = parse_recipe("[data]\npaths = \"a.txt\"\n[train]\nlr = 1\nsteps = 7\n", "r.toml",
                          {"steps=9", "paths=b.txt"});
  EXPECT_EQ(r.lr, 1.0);
  EXPECT_EQ(r.steps, 9);
  EXPECT_EQ(r.paths, std::vector<std::string>{"b.txt"});
}

TEST(Recipe, MistakesAreNamedWithTheirLine) {
  EXPECT_EQ(message("[data]\npaths = [\"a\"]\n[train]\nstep = 3\n"),
            "r.toml:4: unknown key 'train.step'; `hoist train --keys` lists all");
  EXPECT_EQ(message("[trian]\nsteps = 3\n"), "r.toml:1: unknown section 'trian'");
  EXPECT_EQ(message("[data]\npaths = [\"a\"]\n[train]\nsteps = 0\n"),
            "r.toml:4: train.steps: expected an integer from 1 to 1099511627776");
  EXPECT_EQ(message("[data]\npaths = [\"a\"]\n[train]\nsteps = 1.5\n"),
            "r.toml:4: train.steps: expected an integer from 1 to 1099511627776");
  EXPECT_EQ(message("[data]\npaths = [3]\n"), "r.toml:2: data.paths: expected a list of texts in quotes");
  EXPECT_EQ(message("[model]\nfamily = \"bert\"\n[data]\npaths = [\"a\"]\n"),
            "r.toml:2: model.family: expected one of llama|gpt2|qwen2|qwen3, found 'bert'");
  EXPECT_EQ(message(""), "r.toml: data.paths: found none, expected a file, a folder or a glob");
  EXPECT_EQ(message(kMinimal, {"nope=3"}), "'nope=3': no such key; `hoist train --keys` lists all");
  EXPECT_EQ(message(kMinimal, {"steps"}), "'steps': expected key=value");
  EXPECT_TRUE(message(kMinimal, {"seq=512"})
                  .starts_with("r.toml: train.seq: found 512, expected at most model.context"));
  EXPECT_TRUE(message("[data\n").starts_with("r.toml:1: "));
}

TEST(Recipe, LearningRateWarmsUpAndFollowsACosine) {
  Recipe r;
  r.lr = 1e-3;
  r.min_lr = 1e-4;
  r.warmup = 100;
  r.steps = 2000;
  EXPECT_DOUBLE_EQ(r.learning_rate(0), 1e-3 / 101);
  EXPECT_DOUBLE_EQ(r.learning_rate(99), 1e-3 * 100 / 101);
  EXPECT_DOUBLE_EQ(r.learning_rate(100), 1e-3);
  EXPECT_NEAR(r.learning_rate(1050), 5.5e-4, 1e-12);
  EXPECT_DOUBLE_EQ(r.learning_rate(2000), 1e-4);
  r.schedule = "constant";
  EXPECT_DOUBLE_EQ(r.learning_rate(1500), 1e-3);
}

}  // namespace
}  // namespace hoist::train
