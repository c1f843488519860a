// Recipe: everything a training run needs to know, as TOML with `key=value` overrides.
//
// Each key is declared once (recipe.cc) with its section, default and meaning; that yields parsing, printing,
// the override syntax ("train.lr=1e-3", or "lr=1e-3" where the last part is unique) and `hoist train --keys`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace hoist::train {

struct Recipe {
  // [model]
  std::string task = "text";     // text: a language model; digits: the image classifier
  std::string from;              // a model folder to start from; empty: fresh weights of the shape below
  std::string family = "llama";  // llama, gpt2, qwen2, qwen3
  int64_t hidden = 256, layers = 4, heads = 4, kv_heads = 0, intermediate = 0, context = 256;
  bool tie = true, biases = true;
  double init_std = 0.02;
  // [data]
  std::vector<std::string> paths;
  std::string field = "text", tokenizer = "bpe", sampling = "epoch", format = "documents", chat_template;
  std::vector<double> weights;
  bool pack = true;
  int64_t vocab = 4096, max_bytes = int64_t{8} << 30;
  double validation = 0.05;
  // [images]
  int64_t maps = 16, pictures = 8192, held_out = 2000;
  // [train]
  int64_t steps = 1000, batch = 8, seq = 0, accumulate = 1, warmup = 100, seed = 1337;
  double lr = 6e-4, min_lr = -1, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, decay = 0.1, clip = 1.0;
  double max_seconds = 0;
  std::string schedule = "cosine", precision = "f32";
  double cooldown = 0.2, layer_decay = 1.0;
  std::string optimizer = "adamw", states = "f32", muon_scale = "rms";
  double momentum = -1, ema = 0;
  bool nesterov = true, ema_evaluate = false, loss_scale = false;
  int64_t patience = 0;
  int64_t eval_every = 250, eval_batches = 20, threads = 0;
  // [memory]
  std::string budget;       // a size such as "2GiB"; empty: no limit
  std::string disk_folder;  // empty: the run's folder
  // [parallel]
  int64_t data = 1, tensor = 1;
  std::string strategy;
  // [output]
  std::string folder = "out/run";
  int64_t checkpoint_every = 500, keep = 2, log_every = 1;

  int64_t memory() const;  // the budget in bytes; 0: no limit
  int64_t sequence() const { return seq > 0 ? seq : context; }
  // Learning rate of step `step` (from 0): linear warm-up lr * (step + 1) / (warmup + 1), then
  //   cosine, linear   down to min_lr at the last step
  //   wsd              lr until the last `cooldown` of all steps, then linear to min_lr (warm-up, stable,
  //   decay) inverse_sqrt     lr * sqrt((warmup + 1) / (step + 1)), at least min_lr (if it is given) constant
  //   lr
  double learning_rate(int64_t step) const;
};

// Throws Error with file and line for unknown keys, wrong types and values out of range.
Recipe parse_recipe(std::string_view toml, const std::string& source,
                    const std::vector<std::string>& overrides);
Recipe load_recipe(const std::string& path, const std::vector<std::string>& overrides);
std::string print(const Recipe& recipe);
// Every key with its default and meaning, for --keys.
std::string recipe_help();
// The part of a recipe that a resumed run must share with the run it continues.
std::string resume_key(const Recipe& recipe);

}  // namespace hoist::train
