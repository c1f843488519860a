#include "decode/step_inputs.h"

#include <algorithm>

namespace hoist::decode {

StepInputs::StepInputs(const models::ServeShape& shape) : block_(shape.block), seq_blocks_(shape.seq_blocks) {
  for (auto* v : {&ids_, &positions_, &slots_, &owners_}) v->resize(static_cast<size_t>(shape.tokens));
  tables_.resize(static_cast<size_t>(shape.seqs * shape.seq_blocks));
  wanted_.resize(static_cast<size_t>(shape.rows));
}

void StepInputs::bind(runtime::Executor& e) {
  e.bind_input("ids", ids_.data());
  e.bind_input("positions", positions_.data());
  e.bind_input("slots", slots_.data());
  e.bind_input("seqs", owners_.data());
  e.bind_input("tables", tables_.data());
  e.bind_input("rows", wanted_.data());
}

void StepInputs::add(std::span<const int32_t> tokens, int64_t first, std::span<const int32_t> blocks,
                     int64_t wanted) {
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
  }
  ++seqs_;
  for (int64_t t = tokens_ - wanted; t < tokens_; ++t)
    wanted_[static_cast<size_t>(rows_++)] = static_cast<int32_t>(t);
}

void StepInputs::set_lengths(runtime::Executor& e) const {
  e.set_length("tokens", tokens_);
  e.set_length("seqs", seqs_);
  e.set_length("rows", rows_);
}

int64_t StepInputs::bytes() const {
  return 4 * static_cast<int64_t>(4 * ids_.size() + tables_.size() + wanted_.size());
}

}  // namespace hoist::decode
