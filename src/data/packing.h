// Packing: which samples lie in which row of which step, and the row's ids, targets, segments and positions.
//
// A pure function of (sources, seed, row): resuming needs a step number and nothing else.
// - Draws. Draw n takes from source s in proportion to the weights: in every block of 1024 draws each source
// gets its
//   share to within one, in an order drawn from the seed. Within a source, each sample comes once per epoch
//   of that source, in an order drawn anew for each epoch.
// - Rows. 512 draws at a time are laid into rows, the longest first, each into the first row with room:
// nothing is cut,
//   and no sample sees another (a segment each). Without packing every row is one sample.
// Memory: 8 bytes per 512 draws. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/sample_store.h"

namespace hoist::data {

struct SampleSource {
  const SampleStore* samples;  // not empty
  double weight = 1;           // > 0
};

// Which sample draw n is.
class Mixture {
 public:
  static constexpr int64_t kBlock = 1024;
  // Throws Error when a weight is not a positive number, or so small that a block holds none of its source.
  Mixture(std::vector<SampleSource> sources, uint64_t seed);
  struct Draw {
    int source;
    int64_t sample;
  };
  Draw draw(int64_t n) const;
  const SampleStore& samples(int source) const { return *sources_[static_cast<size_t>(source)].samples; }
  int sources() const { return static_cast<int>(sources_.size()); }
  int64_t share(int source) const;  // of a block

 private:
  std::vector<SampleSource> sources_;
  std::vector<int64_t> first_;  // of a block's places, where each source's begin; then kBlock
  uint64_t seed_;
};

// One row as the training graph takes it; all of `seq` entries.
struct PackedRow {
  int32_t *ids, *targets;         // target -1: no loss
  int32_t *segments, *positions;  // segment of a sample from 0 up; of padding, one of its own
};

class PackedBatches {
 public:
  // Samples have at most seq + 1 ids.
  PackedBatches(std::vector<SampleSource> sources, int64_t seq, bool pack, uint64_t seed);
  // Fills rows [first, first + count): row r of step t is t * rows_per_step + r.
  void fill(int64_t first, int64_t count, const PackedRow& to);
  // The samples of a row, as draws.
  std::vector<int64_t> draws_of(int64_t row);
  // Share of places of the first `rows` rows that hold a sample's token.
  double fullness(int64_t rows);

 private:
  void pack(int64_t window);
  int64_t length(int64_t draw) const;
  Mixture mixture_;
  int64_t seq_, window_;                 // draws that are laid out together
  std::vector<int64_t> rows_before_{0};  // rows of all windows before each
  int64_t packed_ = -1;                  // the window that `rows_` holds
  std::vector<std::vector<int64_t>> rows_;
};

// Held-out samples in order, packed; every sample once. Calls row(index of the row) style: fills row r, or
// returns false when there is none.
class PackedEvaluation {
 public:
  PackedEvaluation(const SampleStore& samples, int64_t seq);
  int64_t rows() const { return static_cast<int64_t>(rows_.size()); }
  void fill(int64_t row, const PackedRow& to) const;  // a row past the end: padding only

 private:
  const SampleStore& samples_;
  int64_t seq_;
  std::vector<std::vector<int64_t>> rows_;
};

}  // namespace hoist::data
