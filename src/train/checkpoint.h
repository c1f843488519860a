// Training checkpoints: a folder that is a Hugging Face model plus what a run needs to go on exactly.
//
//   step-00000500/  config.json  model.safetensors  tokenizer.json  generation_config.json     the model
//                   optimizer.safetensors   moments, masters of 16-bit parameters, averages, the loss scale:
//                                           by state name
//                   trainer.json            {"version":1, "step":500, "recipe":"...", "data":"<hash>"}
//                   manifest.json           checksums of all files (io/checkpoint_dir.h)
//
// Whole tensors are stored, so a run may resume with another number of ranks.
#pragma once

#include <optional>
#include <string>

#include "io/model_config.h"
#include "models/lm.h"
#include "text/tokenizer.h"
#include "train/ranks.h"

namespace hoist::train {

struct CheckpointInfo {
  int64_t step = 0;
  std::string recipe;     // resume_key of the run
  std::string data_hash;  // of the training tokens
};

struct CheckpointParts {
  const io::ModelConfig& config;
  const text::Tokenizer& tokenizer;
  const std::vector<models::Parameter>& parameters;
  const Ranks& ranks;
  // Files beside the model that it came with (name, text): kept as they are.
  const std::vector<std::pair<std::string, std::string>>& kept;
};

// Writes root/step-N (or root/`name` without the optimizer: the finished model) durably, then makes it
// visible at once.
std::string save_checkpoint(const std::string& root, const CheckpointParts& parts,
                            const CheckpointInfo& info);
// `averages`: the weights' moving averages (train.ema) in place of the weights.
std::string save_model(const std::string& root, const std::string& name, const CheckpointParts& parts,
                       bool averages = false);

// Reads trainer.json of a checkpoint.
CheckpointInfo read_checkpoint_info(const std::string& folder);
// Fills the states of `ranks` from a checkpoint's model and optimizer files.
void load_checkpoint(const std::string& folder, const io::ModelConfig& config,
                     const std::vector<models::Parameter>& parameters, Ranks& ranks);
// Only the model's weights, from any model folder; masters and averages are set from them.
void load_model_weights(const std::string& folder, const io::ModelConfig& config,
                        const std::vector<models::Parameter>& parameters, Ranks& ranks);

}  // namespace hoist::train
