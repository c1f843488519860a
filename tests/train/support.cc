#include "support.h"

#include <unistd.h>

#include <cstdlib>

#include "io/files.h"

namespace hoist::train {

TemporaryFolder::TemporaryFolder() {
  const char* base = std::getenv("TMPDIR");
  std::string pattern = std::string(base && *base ? base : "/tmp") + "/hoist-train-XXXXXX";
  path_ = mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() { io::remove_tree(path_); }

Recipe character_recipe(const std::string& folder) {
  Recipe r;
  const std::string source = HOIST_SOURCE_DIR, shakespeare = source + "/../shared/data/tinyshakespeare.txt";
  r.paths = io::path_exists(shakespeare)
                ? std::vector<std::string>{shakespeare}
                : std::vector<std::string>{source + "/README.md", source + "/CONTRIBUTING.md",
                                           source + "/docs/*.md"};
  r.family = "gpt2";
  r.hidden = 128;
  r.layers = 4;
  r.heads = 4;
  r.context = 64;
  r.biases = false;
  r.tokenizer = "char";
  r.validation = 0.1;
  r.sampling = "random";
  r.steps = 2000;
  r.batch = 12;
  r.lr = 1e-3;
  r.min_lr = 1e-4;
  r.beta2 = 0.99;
  r.folder = folder;
  r.checkpoint_every = 0;
  r.eval_every = 0;
  return r;
}

std::vector<float> losses(const Recipe& recipe, int steps) {
  Trainer trainer(recipe, {});
  std::vector<float> out;
  for (int i = 0; i < steps; ++i) out.push_back(trainer.step().loss);
  return out;
}

}  // namespace hoist::train
