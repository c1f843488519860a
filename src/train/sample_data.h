// SampleData: what a run trains on when its data are samples (data.format), from a recipe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/packing.h"
#include "data/sample_set.h"
#include "decode/chat_source.h"
#include "train/recipe.h"

namespace hoist::train {

class SampleData {
 public:
  static constexpr size_t kShown = 3;  // samples kept for people to look at
  // Reads, tokenizes and stores every path of the recipe; each is a source of the mixture. `note` gets an
  // account a line, `progress` the bytes read. Samples lie in the run's folder meanwhile. Throws Error.
  SampleData(const Recipe& recipe, const text::Tokenizer& tokenizer, const decode::ChatSource& chat,
             int32_t end, const std::function<void(const std::string&)>& note,
             const std::function<void(int64_t)>& progress);

  // Rows [first, first + count) of all rows of the run.
  void fill(int64_t first, int64_t count, const data::PackedRow& to) { batches_->fill(first, count, to); }
  int64_t evaluation_rows() const;
  // Row `row` of the held-out samples; past the last one: no targets.
  void fill_evaluation(int64_t row, const data::PackedRow& to) const;

  const std::string& hash() const { return hash_; }
  int64_t train_tokens() const, validation_tokens() const;
  const std::vector<data::TokenSample>& first() const { return first_; }

 private:
  std::vector<data::SampleSet> sets_;
  std::unique_ptr<data::PackedBatches> batches_;
  std::vector<data::PackedEvaluation> evaluations_;
  std::vector<data::TokenSample> first_;
  std::string hash_;
};

// The chat template of a recipe's model, or of the file data.chat_template.
decode::ChatSource chat_template_of(const Recipe& recipe);

}  // namespace hoist::train
