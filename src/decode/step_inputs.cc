#include "decode/step_inputs.h"

#include <algorithm>

namespace hoist::decode {

StepInputs::StepInputs(const models::ServeShape& shape, const io::ModelConfig& config, int64_t adapter_slots)
    : block_(shape.block),
      seq_blocks_(shape.seq_blocks),
      experts_per_token_(config.experts > 0 ? config.experts_per_token : 0) {
  for (auto* v : {&ids_, &positions_, &slots_, &owners_}) v->resize(static_cast<size_t>(shape.tokens));
  tables_.resize(static_cast<size_t>(shape.seqs * shape.seq_blocks));
  wanted_.resize(static_cast<size_t>(shape.rows));
  if (adapter_slots == 0) return;
  adapter_counts_.resize(static_cast<size_t>(adapter_slots));
  for (auto* v : {&adapter_rows_, &adapter_places_, &slots_of_tokens_})
    v->resize(static_cast<size_t>(shape.tokens));
}

void StepInputs::bind(runtime::Executor& e) {
  e.bind_input("ids", ids_.data());
  e.bind_input("positions", positions_.data());
  e.bind_input("slots", slots_.data());
  e.bind_input("seqs", owners_.data());
  e.bind_input("tables", tables_.data());
  e.bind_input("rows", wanted_.data());
  if (adapter_counts_.empty()) return;
  e.bind_input("adapter_rows", adapter_rows_.data());
  e.bind_input("adapter_counts", adapter_counts_.data());
  e.bind_input("adapter_places", adapter_places_.data());
}

void StepInputs::clear() { tokens_ = seqs_ = rows_ = 0; }

void StepInputs::add(std::span<const int32_t> tokens, int64_t first, std::span<const int32_t> blocks,
                     int64_t wanted, int64_t adapter) {
  int32_t* table = tables_.data() + seqs_ * seq_blocks_;
  std::fill(std::copy(blocks.begin(), blocks.end(), table), table + seq_blocks_, 0);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const size_t at = static_cast<size_t>(tokens_++);
    const int64_t position = first + static_cast<int64_t>(i);
    ids_[at] = tokens[i];
    positions_[at] = static_cast<int32_t>(position);
    slots_[at] =
        static_cast<int32_t>(blocks[static_cast<size_t>(position / block_)] * block_ + position % block_);
    owners_[at] = static_cast<int32_t>(seqs_);
    if (!adapter_counts_.empty()) slots_of_tokens_[at] = static_cast<int32_t>(adapter);
  }
  ++seqs_;
  for (int64_t t = tokens_ - wanted; t < tokens_; ++t)
    wanted_[static_cast<size_t>(rows_++)] = static_cast<int32_t>(t);
}

void StepInputs::set_lengths(runtime::Executor& e) {
  e.set_length("tokens", tokens_);
  if (experts_per_token_ > 0) e.set_length(models::kExpertRows, tokens_ * experts_per_token_);
  e.set_length("seqs", seqs_);
  e.set_length("rows", rows_);
  if (adapter_counts_.empty()) return;
  // A counting sort by slot; tokens keep their order within one.
  std::fill(adapter_counts_.begin(), adapter_counts_.end(), 0);
  for (int64_t t = 0; t < tokens_; ++t)
    if (const int32_t slot = slots_of_tokens_[static_cast<size_t>(t)]; slot >= 0)
      ++adapter_counts_[static_cast<size_t>(slot)];
  int32_t row = 0;
  for (size_t slot = 0; slot < adapter_counts_.size(); ++slot) {
    if (adapter_counts_[slot] == 0) continue;
    for (int64_t t = 0; t < tokens_; ++t)
      if (slots_of_tokens_[static_cast<size_t>(t)] == static_cast<int32_t>(slot)) {
        adapter_rows_[static_cast<size_t>(row)] = static_cast<int32_t>(t);
        adapter_places_[static_cast<size_t>(t)] = row++;
      }
  }
  for (int64_t t = 0; t < tokens_; ++t)
    if (slots_of_tokens_[static_cast<size_t>(t)] < 0) adapter_places_[static_cast<size_t>(t)] = -1;
  e.set_length("adapter_rows", row);
}

int64_t StepInputs::bytes() const {
  return 4 * static_cast<int64_t>(4 * ids_.size() + 3 * adapter_rows_.size() + adapter_counts_.size() +
                                  tables_.size() + wanted_.size());
}

}  // namespace hoist::decode
