#include "data/batches.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/rng.h"

namespace hoist::data {

int64_t permute(int64_t index, int64_t n, uint64_t seed, uint64_t stream) {
  int half = 1;
  while ((int64_t{1} << (2 * half)) < n) ++half;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  uint64_t x = static_cast<uint64_t>(index);
  do {
    uint64_t left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < 4; ++round) {
      uint64_t mixed = philox(seed, stream * 4 + round, right)[0] & mask;
      uint64_t next = left ^ mixed;
      left = right;
      right = next;
    }
    x = (left << half) | right;
  } while (x >= static_cast<uint64_t>(n));  // at most 4 walks on average: the domain is below 4 n
  return static_cast<int64_t>(x);
}

Batches::Batches(const TokenArray& tokens, const BatchShape& shape, Sampling sampling, uint64_t seed)
    : tokens_(tokens),
      shape_(shape),
      sampling_(sampling),
      seed_(seed),
      windows_(std::max<int64_t>(1, (tokens.size() - shape.seq) / shape.seq)) {
  if (tokens.size() < shape.seq + 1)
    throw_invalid("data: found " + std::to_string(tokens.size()) + " training tokens, expected at least " +
                  std::to_string(shape.seq + 1) + " (one more than train.seq)");
}

int64_t Batches::start_of(int64_t step, int64_t row) const {
  const uint64_t index = static_cast<uint64_t>(step * shape_.rows + row);
  if (sampling_ == Sampling::kRandom) {
    // Starts 0 .. size - seq - 1, so that the last target is the last token.
    return static_cast<int64_t>(CounterRng(seed_, stable_hash("batch"))
                                    .below(index, static_cast<uint64_t>(tokens_.size() - shape_.seq)));
  }
  const int64_t epoch = static_cast<int64_t>(index) / windows_,
                place = static_cast<int64_t>(index) % windows_;
  // The last window of the latest start still ends, target included, inside the text.
  const int64_t room = tokens_.size() - windows_ * shape_.seq;
  const int64_t shift = static_cast<int64_t>(
      CounterRng(seed_, stable_hash("epoch"))
          .below(static_cast<uint64_t>(epoch), static_cast<uint64_t>(std::min(room, shape_.seq))));
  return permute(place, windows_, seed_, static_cast<uint64_t>(epoch) + 1) * shape_.seq + shift;
}

void Batches::fill(int64_t step, int64_t first, int64_t count, int32_t* ids, int32_t* targets) const {
  for (int64_t r = 0; r < count; ++r) {
    int64_t start = start_of(step, first + r);
    for (int64_t i = 0; i < shape_.seq; ++i) {
      ids[r * shape_.seq + i] = tokens_[start + i];
      targets[r * shape_.seq + i] = tokens_[start + i + 1];
    }
  }
}

int64_t evaluation_windows(const TokenArray& tokens, int64_t seq) {
  return tokens.size() < 2 ? 0 : (tokens.size() - 1 + seq - 1) / seq;
}

void evaluation_window(const TokenArray& tokens, int64_t seq, int64_t window, int32_t* ids,
                       int32_t* targets) {
  for (int64_t i = 0; i < seq; ++i) {
    int64_t at = window * seq + i;
    bool inside = at + 1 < tokens.size();
    ids[i] = inside ? tokens[at] : 0;
    targets[i] = inside ? tokens[at + 1] : -1;
  }
}

}  // namespace hoist::data
