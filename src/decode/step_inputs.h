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
  explicit StepInputs(const models::ServeShape& shape);
  void bind(runtime::Executor& executor);  // this must stay where it is

  void clear() { tokens_ = seqs_ = rows_ = 0; }
  // The tokens from `first` on of a sequence that holds `blocks`. Logits of the last `wanted` are computed,
  // and come in the order of calls.
  void add(std::span<const int32_t> tokens, int64_t first, std::span<const int32_t> blocks, int64_t wanted);
  void set_lengths(runtime::Executor& executor) const;

  int64_t tokens() const { return tokens_; }
  int64_t rows() const { return rows_; }
  int64_t bytes() const;

 private:
  int64_t block_, seq_blocks_;
  int64_t tokens_ = 0, seqs_ = 0, rows_ = 0;
  std::vector<int32_t> ids_, positions_, slots_, owners_, tables_, wanted_;
};

}  // namespace hoist::decode
