// A small training run in a temporary folder.
#pragma once

#include <string>
#include <vector>

#include "train/trainer.h"

namespace hoist::train {

// Removed with all it holds at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// nanoGPT's small character model, on tinyshakespeare where it is found, else on this project's own
// documents.
Recipe character_recipe(const std::string& folder);

// Losses of `steps` steps.
std::vector<float> losses(const Recipe& recipe, int steps);

}  // namespace hoist::train
