#include "data/packing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"
#include "data/batches.h"

namespace hoist::data {

namespace {

// Lays items into rows of `room`, the longest first, each into the first row with room left; items of a row
// and rows come in the order of their first item.
std::vector<std::vector<int64_t>> lay_out(const std::vector<int64_t>& items,
                                          const std::vector<int64_t>& lengths, int64_t room) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
  std::vector<std::vector<size_t>> rows;
  std::vector<int64_t> left;
  for (size_t i : order) {
    size_t r = 0;
    while (r < rows.size() && left[r] < lengths[i]) ++r;
    if (r == rows.size()) {
      rows.emplace_back();
      left.push_back(room);
    }
    rows[r].push_back(i);
    left[r] -= lengths[i];
  }
  for (auto& row : rows) std::sort(row.begin(), row.end());
  std::sort(rows.begin(), rows.end());
  std::vector<std::vector<int64_t>> out;
  for (const auto& row : rows) {
    out.emplace_back();
    for (size_t i : row) out.back().push_back(items[i]);
  }
  return out;
}

// Writes samples one behind the other into row `r` of `to`.
class RowWriter {
 public:
  RowWriter(const PackedRow& to, int64_t row, int64_t seq) : to_(to), base_(row * seq), seq_(seq) {}
  void add(const TokenSample& s) {
    for (size_t i = 0; i + 1 < s.ids.size(); ++i)
      put(s.ids[i], s.trained[i + 1] ? s.ids[i + 1] : -1, static_cast<int32_t>(i));
    ++segment_;
  }
  ~RowWriter() {
    for (int32_t i = 0; at_ < seq_; ++i) put(0, -1, i);
  }

 private:
  void put(int32_t id, int32_t target, int32_t position) {
    HOIST_CHECK(at_ < seq_, "a row's samples are longer than the row");
    const int64_t i = base_ + at_++;
    to_.ids[i] = id;
    to_.targets[i] = target;
    to_.segments[i] = segment_;
    to_.positions[i] = position;
  }
  const PackedRow& to_;
  int64_t base_, seq_, at_ = 0;
  int32_t segment_ = 0;
};

}  // namespace

Mixture::Mixture(std::vector<SampleSource> sources, uint64_t seed)
    : sources_(std::move(sources)), seed_(seed) {
  double total = 0;
  for (const SampleSource& s : sources_) {
    if (!(s.weight > 0) || !std::isfinite(s.weight))
      throw_invalid("data.weights: found " + std::to_string(s.weight) + ", expected positive numbers");
    HOIST_CHECK(s.samples->size() > 0, "a source without samples");
    total += s.weight;
  }
  double sum = 0;
  for (const SampleSource& s : sources_) {
    first_.push_back(std::llround(sum / total * kBlock));
    sum += s.weight;
  }
  first_.push_back(kBlock);
  for (size_t i = 0; i < sources_.size(); ++i)
    if (first_[i] == first_[i + 1])
      throw_invalid("data.weights: found " + std::to_string(sources_[i].weight) + " of " +
                    std::to_string(total) + ", expected at least one in " + std::to_string(kBlock));
}

int64_t Mixture::share(int source) const {
  return first_[static_cast<size_t>(source) + 1] - first_[static_cast<size_t>(source)];
}

Mixture::Draw Mixture::draw(int64_t n) const {
  const int64_t block = n / kBlock;
  const int64_t place = sources_.size() == 1
                            ? n % kBlock
                            : permute(n % kBlock, kBlock, seed_, 2 * static_cast<uint64_t>(block));
  const auto after = std::upper_bound(first_.begin(), first_.end() - 1, place);
  const auto s = static_cast<size_t>(after - first_.begin()) - 1;
  // How many of this source came before: whole blocks, and those before it in this one.
  const int64_t k = block * share(static_cast<int>(s)) + (place - first_[s]);
  const int64_t size = sources_[s].samples->size();
  const uint64_t epoch = static_cast<uint64_t>(k / size);
  const uint64_t stream = 2 * (epoch * sources_.size() + s) + 1;
  return {static_cast<int>(s), permute(k % size, size, seed_, stream)};
}

PackedBatches::PackedBatches(std::vector<SampleSource> sources, int64_t seq, bool pack, uint64_t seed)
    : mixture_(std::move(sources), seed), seq_(seq), window_(pack ? 512 : 1) {}

int64_t PackedBatches::length(int64_t draw) const {
  const Mixture::Draw d = mixture_.draw(draw);
  return mixture_.samples(d.source).length(d.sample) - 1;
}

void PackedBatches::pack(int64_t window) {
  if (packed_ == window) return;
  std::vector<int64_t> draws, lengths;
  for (int64_t n = window * window_; n < (window + 1) * window_; ++n) {
    draws.push_back(n);
    lengths.push_back(length(n));
  }
  rows_ = lay_out(draws, lengths, seq_);
  packed_ = window;
}

std::vector<int64_t> PackedBatches::draws_of(int64_t row) {
  if (window_ == 1) return {row};
  while (rows_before_.back() <= row) {
    pack(static_cast<int64_t>(rows_before_.size()) - 1);
    rows_before_.push_back(rows_before_.back() + static_cast<int64_t>(rows_.size()));
  }
  const auto after = std::upper_bound(rows_before_.begin(), rows_before_.end(), row);
  const int64_t window = after - rows_before_.begin() - 1;
  pack(window);
  return rows_[static_cast<size_t>(row - rows_before_[static_cast<size_t>(window)])];
}

void PackedBatches::fill(int64_t first, int64_t count, const PackedRow& to) {
  for (int64_t r = 0; r < count; ++r) {
    RowWriter writer(to, r, seq_);
    for (int64_t n : draws_of(first + r)) {
      const Mixture::Draw d = mixture_.draw(n);
      writer.add(mixture_.samples(d.source).read(d.sample));
    }
  }
}

double PackedBatches::fullness(int64_t rows) {
  int64_t used = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t n : draws_of(r)) used += length(n);
  return static_cast<double>(used) / static_cast<double>(std::max<int64_t>(1, rows * seq_));
}

PackedEvaluation::PackedEvaluation(const SampleStore& samples, int64_t seq) : samples_(samples), seq_(seq) {
  std::vector<int64_t> items, lengths;
  for (int64_t i = 0; i < samples.size(); ++i) {
    items.push_back(i);
    lengths.push_back(samples.length(i) - 1);
    if (items.size() < 512 && i + 1 < samples.size()) continue;
    for (auto& row : lay_out(items, lengths, seq)) rows_.push_back(std::move(row));
    items.clear();
    lengths.clear();
  }
}

void PackedEvaluation::fill(int64_t row, const PackedRow& to) const {
  RowWriter writer(to, 0, seq_);
  if (row >= rows()) return;
  for (int64_t i : rows_[static_cast<size_t>(row)]) writer.add(samples_.read(i));
}

}  // namespace hoist::data
