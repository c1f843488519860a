// Batches: which tokens each row of each step sees. A pure function of (seed, step, row): resuming needs a
// step number and nothing else.
#pragma once

#include <cstdint>
#include <span>

#include "data/token_array.h"

namespace hoist::data {

enum class Sampling {
  kRandom,  // every row starts anywhere (nanoGPT)
  // Windows side by side, each once per epoch, in an order shuffled anew each epoch; where the first begins
  // is drawn anew as well, so that no token keeps its place in a window.
  kEpoch,
};

struct BatchShape {
  int64_t rows = 1, seq = 1;  // rows of the whole global batch
};

class Batches {
 public:
  // Throws Error when there are fewer than seq + 1 tokens.
  Batches(const TokenArray& tokens, const BatchShape& shape, Sampling sampling, uint64_t seed);
  // Fills rows [first, first + count) of step `step` (from 0): ids[count, seq] and the next token of each in
  // targets.
  void fill(int64_t step, int64_t first, int64_t count, int32_t* ids, int32_t* targets) const;
  int64_t windows() const { return windows_; }  // of one epoch

 private:
  int64_t start_of(int64_t step, int64_t row) const;
  const TokenArray& tokens_;
  BatchShape shape_;
  Sampling sampling_;
  uint64_t seed_;
  int64_t windows_;
};

// A pseudo-random permutation of 0..n-1, computed pointwise (a Feistel network walked until it lands inside).
int64_t permute(int64_t index, int64_t n, uint64_t seed, uint64_t stream);

// The whole of `tokens` once: window w covers tokens [w * seq, w * seq + seq), the last one padded with
// targets of -1.
void evaluation_window(const TokenArray& tokens, int64_t seq, int64_t window, int32_t* ids, int32_t* targets);
int64_t evaluation_windows(const TokenArray& tokens, int64_t seq);

}  // namespace hoist::data
