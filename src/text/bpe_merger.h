// Applies BPE merges to one word's symbols, in place. Internal to bpe_model.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "text/bpe_model.h"

namespace hoist::text {

class BpeMerger {
 public:
  // Pairs looked up so far, a measure of work that tests can count.
  uint64_t lookups = 0;

  // Merges `ids[from..]`.
  void run(const BpeModel& model, std::vector<int32_t>& ids, size_t from);

 private:
  void run_short(const BpeModel& model, std::vector<int32_t>& ids, size_t from);
  void run_long(const BpeModel& model, std::vector<int32_t>& ids, size_t from);

  struct Symbol {
    int32_t id;  // kDead once merged into its left neighbour
    uint32_t previous, next;
  };
  // Positions whose pair has one rank. Mostly they arrive and are taken from left to right, so a sorted
  // vector with a cursor does; what arrives while the bucket is being emptied goes through a small heap.
  struct Bucket {
    std::vector<uint32_t> positions;
    std::vector<uint32_t> late;  // min-heap
    size_t cursor = 0;
    bool opened = false, sorted = true;
  };
  void push(uint32_t position, const BpeModel& model);
  bool pop(Bucket& bucket, uint32_t& position);

  struct Free {
    void operator()(uint32_t* p) const { std::free(p); }
  };
  std::vector<Symbol> symbols_;
  std::vector<Bucket> buckets_;  // a pool
  std::vector<uint32_t> free_;   // its unused members, index + 1
  std::vector<uint32_t> ranks_;  // min-heap of ranks with a bucket
  std::unique_ptr<uint32_t[], Free>
      bucket_of_rank_;  // bucket index + 1; zero pages cost nothing until touched
  uint32_t rank_count_ = 0;
  std::vector<BpeModel::Merge> pairs_;  // run_short: merge of symbols i and i + 1
};

}  // namespace hoist::text
