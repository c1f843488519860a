// DigitsTrainer: trains the image classifier (models/image_classifier.h) on synthetic digits (data/digits.h),
// from a recipe with model.task = "digits".
//
// Uses of the recipe: [images], train.{steps, batch, lr, min_lr, warmup, schedule, cooldown, optimizer (not
// muon), states, beta1, beta2, eps, momentum, nesterov, decay, clip, seed, threads, eval_every, max_seconds}
// and output.{folder, log_every}. A run takes a minute or so and is not resumed: it starts over. Bits depend
// on the recipe only, not on threads.
#pragma once

#include <atomic>
#include <memory>

#include "models/image_classifier.h"
#include "train/ranks.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace hoist::train {

class DigitsTrainer {
 public:
  // Draws the pictures, plans and allocates. Throws Error. observer.evaluation gets the held-out loss.
  DigitsTrainer(const Recipe& recipe, TrainObserver observer, runtime::Trace* trace = nullptr);

  // One optimizer step; StepResult::tokens counts pictures.
  StepResult step();
  struct Score {
    double loss = 0, accuracy = 0;
  };
  // Over every held-out picture, with the running statistics.
  Score evaluate();
  // Runs to the recipe's end, writing metrics.jsonl and model.safetensors (with accuracy.json) to the output
  // folder; false when `stop` became true before.
  bool run(const std::atomic<bool>& stop);
  int64_t parameter_count() const;

 private:
  void write_model(const Score& score);

  Recipe recipe_;
  TrainObserver observer_;
  models::ImageClassifier config_;
  std::unique_ptr<Ranks> ranks_;
  int step_program_ = -1, eval_program_ = -1;
  std::vector<float> pictures_, held_out_, images_;
  std::vector<int32_t> picture_labels_, held_out_labels_, labels_;
  float lr_input_ = 0, step_input_ = 0;
  int64_t step_ = 0;
};

}  // namespace hoist::train
