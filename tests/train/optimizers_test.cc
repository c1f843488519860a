// Optimizers, schedules, averages and early stops of whole runs.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <thread>

#include "base/error.h"
#include "io/checkpoint_dir.h"
#include "io/files.h"
#include "io/safetensors.h"
#include "support.h"
#include "support/json.h"
#include "train/optimizer_recipe.h"

namespace hoist::train {
namespace {

using passes::OptimizerSpec;

Recipe small(const std::string& folder) {
  Recipe r = character_recipe(folder);
  r.hidden = 32;
  r.layers = 2;
  r.context = 16;
  r.steps = 10;
  r.warmup = 2;
  r.batch = 4;
  r.checkpoint_every = 0;
  r.max_bytes = 30000;
  r.paths = {std::string(HOIST_SOURCE_DIR) + "/CONTRIBUTING.md"};
  r.threads = 1;
  r.eval_every = 0;
  return r;
}

constexpr const char* kOptimizers[] = {"adamw", "sgd", "lion", "lamb", "adafactor", "muon"};

// step -> loss as hex; evaluations under "eval <step>".
std::map<std::string, std::string> metrics_of(const std::string& folder) {
  std::map<std::string, std::string> out;
  const std::string text = io::read_file(folder + "/metrics.jsonl", 1 << 26);
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const support::Json line = support::Json::parse(std::string_view(text).substr(at, end - at));
    at = end + 1;
    const std::string step = std::to_string(line["step"].get<int64_t>());
    if (line["kind"] == "step")
      out[step] = line["loss_hex"].get<std::string>();
    else
      out["eval " + step] = std::to_string(line["loss"].get<double>());
  }
  return out;
}

TEST(Schedules, WarmUpThenComeDownAndNeverRise) {
  for (const char* schedule : {"cosine", "linear", "wsd", "inverse_sqrt", "constant"}) {
    SCOPED_TRACE(schedule);
    Recipe r;
    r.schedule = schedule;
    r.lr = 1e-3;
    r.min_lr = 1e-4;
    r.warmup = 50;
    r.steps = 1000;
    for (int64_t s = 1; s < 50; ++s) EXPECT_GT(r.learning_rate(s), r.learning_rate(s - 1));
    EXPECT_DOUBLE_EQ(r.learning_rate(50), 1e-3);
    for (int64_t s = 51; s <= 1010; ++s) {
      EXPECT_LE(r.learning_rate(s), r.learning_rate(s - 1));
      EXPECT_GE(r.learning_rate(s), 1e-4);
    }
  }
  Recipe r;
  r.lr = 1;
  r.warmup = 99;
  r.steps = 1000;
  r.schedule = "inverse_sqrt";
  EXPECT_DOUBLE_EQ(r.learning_rate(399), 0.5);
  r.schedule = "linear";
  r.warmup = 0;
  EXPECT_DOUBLE_EQ(r.learning_rate(500), 0.55);
  r.schedule = "wsd";
  r.cooldown = 0.5;
  EXPECT_DOUBLE_EQ(r.learning_rate(500), 1);
  EXPECT_DOUBLE_EQ(r.learning_rate(750), 0.55);
  EXPECT_DOUBLE_EQ(r.learning_rate(1000), 0.1);
}

TEST(ParameterGroups, TellMatricesNormsAndDepth) {
  for (io::Family family : {io::Family::kGpt2, io::Family::kQwen3}) {
    io::ModelConfig c = io::default_model_config(family);
    c.vocab = 64, c.hidden = 32, c.layers = 3, c.heads = 4, c.kv_heads = family == io::Family::kGpt2 ? 4 : 2;
    c.head_dim = 8, c.intermediate = 48, c.max_position = 16;
    c.tie_word_embeddings = false;
    Recipe r;
    r.decay = 0.1;
    r.layer_decay = 0.5;
    const auto parameters = models::parameters(c, DType::f32, DType::f32);
    const auto groups = parameter_groups(r, parameters);
    ASSERT_EQ(groups.size(), parameters.size());
    for (size_t i = 0; i < groups.size(); ++i) {
      const auto& g = groups[i];
      const std::string& name = parameters[i].name;
      SCOPED_TRACE(name);
      EXPECT_EQ(g.pattern, name);
      const bool norm = name.find("norm") != std::string::npos || name.find("ln_") != std::string::npos;
      const bool vector = norm || name.ends_with(".bias");
      EXPECT_EQ(g.decay, vector ? 0 : 0.1);
      EXPECT_EQ(g.columns.empty(), vector);
      const int64_t layer = layer_of(name);
      EXPECT_EQ(g.hidden, !vector && layer >= 0);
      const bool embedding = name.find("embed") != std::string::npos ||
                             name.find("wte") != std::string::npos || name.find("wpe") != std::string::npos;
      EXPECT_DOUBLE_EQ(g.lr_scale, layer >= 0  ? std::pow(0.5, 3 - layer)
                                   : embedding ? std::pow(0.5, 4)
                                               : 1.0);
    }
  }
  EXPECT_EQ(layer_of("model.layers.12.mlp.up_proj.weight"), 12);
  EXPECT_EQ(layer_of("lm_head.weight"), -1);
  EXPECT_EQ(layer_of(""), -1);
}

TEST(OptimizerRuns, StoppedAndResumedTakeTheSameSteps) {
  for (const char* optimizer : kOptimizers)
    for (const char* states : {"f32", "bf16", "8bit"}) {
      if (optimizer == std::string("adafactor") && states != std::string("f32")) continue;
      SCOPED_TRACE(std::string(optimizer) + " " + states);
      TemporaryFolder tmp;
      Recipe r = small(tmp.path() + "/whole");
      r.optimizer = optimizer;
      r.states = states;
      r.lr = 1e-3;
      r.hidden = 64;  // matrices large enough for 8 bits
      r.ema = 0.9;
      r.precision = "bf16";
      r.loss_scale = true;
      std::atomic<bool> stop{false};
      EXPECT_TRUE(Trainer(r, {}).run(stop));
      const auto want = metrics_of(r.folder);
      r.folder = tmp.path() + "/stopped";
      TrainObserver observer;
      observer.step = [&](const StepResult& s, int64_t, double, double) { stop = s.step == 4; };
      EXPECT_FALSE(Trainer(r, observer).run(stop));
      stop = false;
      EXPECT_TRUE(Trainer(r, {}).run(stop));
      EXPECT_EQ(metrics_of(r.folder), want);
      EXPECT_EQ(want.size(), 11u);
      for (const char* model : {"/model/model.safetensors", "/model-ema/model.safetensors"})
        EXPECT_EQ(io::read_file(tmp.path() + "/whole" + model, 1 << 26),
                  io::read_file(r.folder + model, 1 << 26))
            << model;
      EXPECT_NE(io::read_file(r.folder + "/model/model.safetensors", 1 << 26),
                io::read_file(r.folder + "/model-ema/model.safetensors", 1 << 26));
    }
}

TEST(OptimizerRuns, EveryOptimizerLearns) {
  for (const char* optimizer : kOptimizers) {
    TemporaryFolder tmp;
    Recipe r = small(tmp.path() + "/run");
    r.optimizer = optimizer;
    r.schedule = "constant";
    r.lr = optimizer == std::string("sgd") ? 0.3 : optimizer == std::string("adafactor") ? 0.1 : 1e-2;
    if (optimizer == std::string("lion")) r.lr = 3e-3;
    const std::vector<float> got = losses(r, 60);
    EXPECT_LT(got.back(), got.front() - 0.5f) << optimizer;
  }
}

TEST(OptimizerRuns, RanksTrainLikeOne) {
  for (const char* optimizer : kOptimizers) {
    TemporaryFolder tmp;
    Recipe one = small(tmp.path() + "/one");
    one.optimizer = optimizer;
    const std::vector<float> want = losses(one, 8);
    for (auto [data, tensor] : {std::pair(2, 1), {1, 2}}) {
      Recipe r = one;
      r.data = data;
      r.tensor = tensor;
      r.folder = tmp.path() + "/" + std::to_string(data) + "x" + std::to_string(tensor);
      const std::vector<float> got = losses(r, 8);
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_NEAR(got[i], want[i], 1e-4 * std::abs(want[i])) << optimizer << " " << data << "x" << tensor;
    }
  }
}

TEST(OptimizerRuns, EndEarlyWhenTheHeldOutLossRests) {
  TemporaryFolder tmp;
  Recipe r = small(tmp.path() + "/run");
  r.lr = 0;
  r.min_lr = 0;
  r.steps = 100;
  r.eval_every = 2;
  r.validation = 0.2;
  r.patience = 3;
  std::atomic<bool> stop{false};
  {  // stopped between evaluations, so that the count goes on from metrics.jsonl
    TrainObserver observer;
    observer.step = [&](const StepResult& s, int64_t, double, double) { stop = s.step == 5; };
    EXPECT_FALSE(Trainer(r, observer).run(stop));
  }
  stop = false;
  for (int round = 0; round < 2; ++round) {  // once more: what has ended stays so
    Trainer trainer(r, {});
    EXPECT_TRUE(trainer.run(stop));
    EXPECT_EQ(trainer.steps_done(), 8) << "the first evaluation and three more";
  }
  EXPECT_TRUE(io::path_exists(r.folder + "/model/model.safetensors"));
}

TEST(OptimizerRuns, EvaluateAveragesWhenAsked) {
  TemporaryFolder tmp;
  Recipe r = small(tmp.path() + "/run");
  r.validation = 0.2;
  r.ema = 0.5;
  r.lr = 1e-2;
  double loss[2];
  for (bool averages : {false, true}) {
    r.folder = tmp.path() + (averages ? "/averages" : "/weights");
    r.ema_evaluate = averages;
    Trainer trainer(r, {});
    for (int i = 0; i < 6; ++i) trainer.step();
    loss[averages] = trainer.evaluate(0);
  }
  EXPECT_NE(loss[0], loss[1]);
  EXPECT_NEAR(loss[0], loss[1], 0.5);
}

TEST(OptimizerRuns, SaveWhenAsked) {
  TemporaryFolder tmp;
  Recipe r = small(tmp.path() + "/run");
  std::atomic<bool> stop{false}, save{false};
  int64_t seen = 0;
  TrainObserver observer;
  observer.step = [&](const StepResult& s, int64_t, double, double) {
    if (s.step == 3) save = true;
    if (s.step == 4) seen = io::path_exists(r.folder + "/checkpoints/" + io::checkpoint_name(3));
  };
  EXPECT_TRUE(Trainer(r, observer).run(stop, &save));
  EXPECT_EQ(seen, 1);
  EXPECT_FALSE(save);
}

// The same of the command, by a signal.
TEST(OptimizerRuns, TheCommandSavesOnSigusr1AndGoesOn) {
  if (!io::path_exists(HOIST_BINARY)) GTEST_SKIP() << "needs the hoist binary";
  TemporaryFolder tmp;
  Recipe r = small(tmp.path() + "/run");
  r.steps = 1000000;
  const std::string recipe = tmp.path() + "/recipe.toml", checkpoints = r.folder + "/checkpoints";
  io::atomic_write(recipe, print(r));
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    if (!std::freopen("/dev/null", "w", stderr)) _exit(126);
    execl(HOIST_BINARY, HOIST_BINARY, "train", recipe.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  bool ended = false;
  auto wait_for = [&](auto done) {
    while (!ended && !done()) {
      ended = waitpid(pid, &status, WNOHANG) == pid;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  };
  wait_for([&] { return io::file_size(r.folder + "/metrics.jsonl") > 0; });
  ASSERT_FALSE(ended);
  kill(pid, SIGUSR1);
  wait_for([&] { return io::find_newest_checkpoint(checkpoints).found.has_value(); });
  EXPECT_FALSE(ended) << "it goes on";
  const int64_t lines = io::file_size(r.folder + "/metrics.jsonl");
  wait_for([&] { return io::file_size(r.folder + "/metrics.jsonl") > lines; });
  EXPECT_FALSE(ended);
  kill(pid, SIGTERM);
  if (!ended) {
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
  }
  EXPECT_TRUE(WIFEXITED(status));
}

TEST(OptimizerRuns, ContradictionsAreNamed) {
  TemporaryFolder tmp;
  auto message = [&](auto change) {
    Recipe r = small(tmp.path() + "/run");
    change(r);
    try {
      Trainer trainer(r, {});
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message([](Recipe& r) { r.optimizer = "adafactor", r.states = "8bit"; }),
            "train.states: found '8bit', expected f32: adafactor keeps no state of a matrix's size");
  EXPECT_EQ(message([](Recipe& r) { r.loss_scale = true; }),
            "train.loss_scale: found true, expected false with train.precision = f32");
  auto parse_message = [](const std::vector<std::string>& overrides) {
    try {
      parse_recipe("[data]\npaths = [\"a\"]\n", "r.toml", overrides);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(parse_message({"patience=2", "validation=0.0"}),
            "r.toml: train.patience: found 2, expected 0 without data.validation or train.eval_every");
  EXPECT_EQ(parse_message({"ema_evaluate=true"}),
            "r.toml: train.ema_evaluate: found true, expected false without train.ema");
}

// A run that began before a key existed goes on: what its recipe does not say has the default.
TEST(OptimizerRuns, OlderCheckpointsResume) {
  TemporaryFolder tmp;
  Recipe r = small(tmp.path() + "/run");
  std::atomic<bool> stop{false};
  TrainObserver observer;
  observer.step = [&](const StepResult& s, int64_t, double, double) { stop = s.step == 4; };
  EXPECT_FALSE(Trainer(r, observer).run(stop));
  const std::string folder = r.folder + "/checkpoints/" + io::checkpoint_name(4);
  std::string trainer_json = io::read_file(folder + "/trainer.json", 1 << 20);
  const std::string key = "optimizer = \\\"adamw\\\"\\n";
  const size_t at = trainer_json.find(key);
  ASSERT_NE(at, std::string::npos);
  trainer_json.erase(at, key.size());
  CheckpointInfo info;
  io::atomic_write(folder + "/trainer.json", trainer_json);
  info = read_checkpoint_info(folder);
  EXPECT_EQ(resume_key(parse_recipe(info.recipe, "trainer.json", {})), resume_key(r));
}

}  // namespace
}  // namespace hoist::train
