// StepInputs: the integer inputs of a serving plan, filled for one step.
//
// A step is a flat axis of tokens, piece after piece; every piece belongs to a sequence and knows its blocks
// (models::serve_graph describes the inputs). Buffers have the plan's capacity and are bound once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/lm.h"
#include "runtime/executor.h"

namespace hoist::decode {

class StepInputs {
 public:
  StepInputs(const models::ServeShape& shape, const io::ModelConfig& config, int64_t adapter_slots);
  void bind(runtime::Executor& executor);  // this must stay where it is

  void clear();
  // The tokens from `first` on of a sequence that holds `blocks`. Logits of the last `wanted` are computed,
  // and come in the order of calls.
  void add(std::span<const int32_t> tokens, int64_t first, std::span<const int32_t> blocks, int64_t wanted,
           int64_t adapter = -1);
  void set_lengths(runtime::Executor& executor);

  int64_t tokens() const { return tokens_; }
  int64_t rows() const { return rows_; }
  int64_t bytes() const;

 private:
  int64_t block_, seq_blocks_;
  int64_t experts_per_token_;  // 0: there are none
  int64_t tokens_ = 0, seqs_ = 0, rows_ = 0;
  std::vector<int32_t> ids_, positions_, slots_, owners_, tables_, wanted_;
  // Of adapters (models/adapters.h), and each token's slot; empty without.
  std::vector<int32_t> adapter_rows_, adapter_counts_, adapter_places_, slots_of_tokens_;
};

}  // namespace hoist::decode
