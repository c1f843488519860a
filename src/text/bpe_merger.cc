#include "text/bpe_merger.h"

#include <algorithm>
#include <functional>
#include <new>

namespace hoist::text {
namespace {
constexpr uint32_t kEnd = 0xFFFFFFFF;
constexpr int32_t kDead = -1;
constexpr size_t kShort = 40;  // below this many symbols a quadratic scan beats any bookkeeping
}  // namespace

void BpeMerger::run(const BpeModel& model, std::vector<int32_t>& ids, size_t from) {
  const size_t count = ids.size() - from;
  if (count < 2 || model.merge_count_ == 0) return;
  if (count <= kShort) {
    run_short(model, ids, from);
  } else {
    run_long(model, ids, from);
  }
}

void BpeMerger::run_short(const BpeModel& model, std::vector<int32_t>& ids, size_t from) {
  size_t count = ids.size() - from;
  int32_t* id = ids.data() + from;
  pairs_.resize(count - 1);
  lookups += count;
  for (size_t i = 0; i + 1 < count; ++i) pairs_[i] = model.find_merge(id[i], id[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs_[i].rank < pairs_[best].rank) best = i;
    }
    if (pairs_[best].rank == BpeModel::kNoRank) break;
    id[best] = pairs_[best].id;
    std::copy(id + best + 2, id + count, id + best + 1);
    --count;
    if (best + 1 < count)
      std::copy(pairs_.begin() + static_cast<ptrdiff_t>(best) + 1,
                pairs_.begin() + static_cast<ptrdiff_t>(count),
                pairs_.begin() + static_cast<ptrdiff_t>(best));
    if (best > 0) pairs_[best - 1] = model.find_merge(id[best - 1], id[best]);
    if (best + 1 < count) pairs_[best] = model.find_merge(id[best], id[best + 1]);
  }
  ids.resize(from + count);
}

void BpeMerger::push(uint32_t position, const BpeModel& model) {
  const uint32_t next = symbols_[position].next;
  if (next == kEnd) return;
  ++lookups;
  const uint32_t rank = model.find_merge(symbols_[position].id, symbols_[next].id).rank;
  if (rank == BpeModel::kNoRank) return;
  if (bucket_of_rank_[rank] == 0) {
    if (free_.empty()) {
      buckets_.emplace_back();
      free_.push_back(static_cast<uint32_t>(buckets_.size()));
    }
    bucket_of_rank_[rank] = free_.back();
    free_.pop_back();
    ranks_.push_back(rank);
    std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
  }
  Bucket& bucket = buckets_[bucket_of_rank_[rank] - 1];
  if (bucket.opened) {
    bucket.late.push_back(position);
    std::push_heap(bucket.late.begin(), bucket.late.end(), std::greater<>());
  } else {
    if (!bucket.positions.empty() && position < bucket.positions.back()) bucket.sorted = false;
    bucket.positions.push_back(position);
  }
}

// The leftmost position of the bucket; false when it is empty.
bool BpeMerger::pop(Bucket& bucket, uint32_t& position) {
  if (!bucket.opened) {
    if (!bucket.sorted) std::sort(bucket.positions.begin(), bucket.positions.end());
    bucket.opened = true;
  }
  const bool early = bucket.cursor < bucket.positions.size();
  if (!early && bucket.late.empty()) return false;
  if (early && (bucket.late.empty() || bucket.positions[bucket.cursor] <= bucket.late.front())) {
    position = bucket.positions[bucket.cursor++];
  } else {
    std::pop_heap(bucket.late.begin(), bucket.late.end(), std::greater<>());
    position = bucket.late.back();
    bucket.late.pop_back();
  }
  return true;
}

void BpeMerger::run_long(const BpeModel& model, std::vector<int32_t>& ids, size_t from) {
  const auto count = static_cast<uint32_t>(ids.size() - from);
  if (rank_count_ < model.merge_count_) {
    bucket_of_rank_.reset(static_cast<uint32_t*>(std::calloc(model.merge_count_, sizeof(uint32_t))));
    if (!bucket_of_rank_) throw std::bad_alloc();
    rank_count_ = model.merge_count_;
  }
  symbols_.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    symbols_[i] = {ids[from + i], i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1};
  }
  for (uint32_t i = 0; i + 1 < count; ++i) push(i, model);

  while (!ranks_.empty()) {
    const uint32_t rank = ranks_.front();
    const size_t index = bucket_of_rank_[rank] - 1;  // not a reference: push() may grow the pool
    uint32_t at = 0;
    bool more = false;
    // A merge may bring up a lower rank (vocabularies need not be trained ones): then that one goes first.
    while (ranks_.front() == rank && (more = pop(buckets_[index], at))) {
      const uint32_t next = symbols_[at].next;
      if (symbols_[at].id == kDead || next == kEnd) continue;
      ++lookups;
      const BpeModel::Merge merge = model.find_merge(symbols_[at].id, symbols_[next].id);
      if (merge.rank != rank) continue;  // the pair here has changed since it was noted
      symbols_[at].id = merge.id;
      symbols_[at].next = symbols_[next].next;
      symbols_[next].id = kDead;
      if (symbols_[at].next != kEnd) symbols_[symbols_[at].next].previous = at;
      if (symbols_[at].previous != kEnd) push(symbols_[at].previous, model);
      push(at, model);
    }
    if (ranks_.front() != rank || more) continue;
    std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
    ranks_.pop_back();
    Bucket& bucket = buckets_[index];
    bucket.positions.clear();
    bucket.cursor = 0;
    bucket.opened = false;
    bucket.sorted = true;
    free_.push_back(static_cast<uint32_t>(index + 1));
    bucket_of_rank_[rank] = 0;
  }
  size_t kept = from;
  for (uint32_t at = 0; at != kEnd; at = symbols_[at].next) ids[kept++] = symbols_[at].id;
  ids.resize(kept);
}

}  // namespace hoist::text
