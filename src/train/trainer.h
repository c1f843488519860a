// Trainer: one training run from a recipe - data, model, steps, evaluation, checkpoints, metrics, report.
//
// Bit-exact resume: a run that was stopped anywhere and started again takes the same steps, because every
// step is a function of the states in the newest checkpoint, the recipe and the step's number.
#pragma once

#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "data/batches.h"
#include "models/lm.h"
#include "text/tokenizer.h"
#include "train/checkpoint.h"
#include "train/ranks.h"
#include "train/recipe.h"
#include "train/sample_data.h"

namespace hoist::train {

struct StepResult {
  int64_t step = 0;  // steps done, from 1
  float loss = 0, grad_norm = 0;
  double lr = 0;
  int64_t tokens = 0;
  bool applied = true;  // false: the gradient was not finite and nothing changed
  double seconds = 0;
};

struct MemoryEstimate {
  int64_t states = 0, arena = 0, data = 0;
  int64_t budget = 0;                       // 0: none
  int64_t disk = 0;                         // homes of what does not stay in memory
  int64_t disk_read = 0, disk_written = 0;  // bytes moved by a step
  int64_t total() const { return states + arena + data; }
};

// Counts evaluations since the lowest held-out loss (train.patience).
struct Patience {
  double best = std::numeric_limits<double>::infinity();
  int64_t since_best = 0;
  void look(double loss);  // NaN is no improvement
};

// What a run tells whoever watches; every member may be empty.
struct TrainObserver {
  std::function<void(const std::string&)> note;
  std::function<void(const StepResult&, int64_t steps, double tokens_per_second, double seconds_left)> step;
  std::function<void(int64_t step, double loss)> evaluation;
  std::function<void(const char* what, int64_t done, int64_t total)> progress;
};

class Trainer {
 public:
  // Reads data and tokenizer, plans and allocates, then starts fresh or from the newest complete checkpoint
  // in the recipe's folder. Throws Error.
  Trainer(const Recipe& recipe, TrainObserver observer, runtime::Trace* trace = nullptr);
  ~Trainer();

  // Runs to the recipe's end, or until `stop` becomes true: then it saves a checkpoint and returns false.
  // When `save_now` becomes true, a checkpoint is saved after the step under way, and it becomes false.
  bool run(const std::atomic<bool>& stop, std::atomic<bool>* save_now = nullptr);

  // One optimizer step; states change. For tests and benchmarks.
  StepResult step();
  // Mean loss over held-out text: `batches` batches, or all of it when 0. NaN when nothing is held out.
  double evaluate(int64_t batches);
  int64_t steps_done() const { return step_; }
  const MemoryEstimate& memory() const { return memory_; }
  const io::ModelConfig& config() const { return config_; }
  std::string model_folder() const;
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  // The first samples of the data, for people to see where loss lies; empty for documents.
  std::vector<data::TokenSample> first_samples() const;

 private:
  void open_data();
  void open_documents();
  void open_samples();
  void open_model();
  int32_t end_of_text() const;
  void build();
  void start();
  void initialize();
  void resume();
  void save();
  void truncate_metrics();
  void log(const std::string& line);
  void write_report();
  CheckpointParts parts() const;
  // Where row `row` of a micro-batch lies in the inputs.
  data::PackedRow row_inputs(int64_t row);
  void fill_evaluation(int64_t index, int64_t row);

  Recipe recipe_;
  TrainObserver observer_;
  std::unique_ptr<class RunFolder> folder_;
  io::ModelConfig config_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  data::TokenArray train_tokens_, validation_tokens_;
  std::string data_hash_;
  std::unique_ptr<data::Batches> batches_;
  std::unique_ptr<SampleData> samples_;                          // in place of the four above
  std::vector<std::pair<std::string, std::string>> kept_files_;  // of model.from (CheckpointParts)
  std::vector<models::Parameter> parameters_;
  std::unique_ptr<Ranks> ranks_;
  runtime::Trace* trace_;
  int step_program_ = -1, accumulate_program_ = -1, apply_program_ = -1, eval_program_ = -1;
  std::vector<int32_t> ids_, targets_, segments_, positions_;
  float lr_input_ = 0, step_input_ = 0;
  int64_t step_ = 0;
  double trained_seconds_ = 0;
  Patience patience_;
  MemoryEstimate memory_;
};

}  // namespace hoist::train
