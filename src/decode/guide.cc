#include "decode/guide.h"

#include <algorithm>

#include "base/error.h"

namespace hoist::decode {

Guide::Guide(std::shared_ptr<const text::Constraint> constraint, GuideMarker after)
    : constraint_(std::move(constraint)),
      matcher_(constraint_),
      after_(std::move(after)),
      free_(!after_.text.empty()) {}

uint64_t Guide::min_tokens(const text::Constraint& constraint, const GuideMarker& after) {
  return uint64_t{constraint.min_tokens()} + (after.text.empty() ? 0 : after.tokens.size());
}

void Guide::mask(std::span<uint64_t> out, uint64_t left) {
  if (!free_) {
    matcher_.mask(out, left);
    return;
  }
  if (!forcing_ && left > min_tokens(*constraint_, after_)) {
    // An end before the marker would leave the grammar out.
    std::fill(out.begin(), out.end(), ~uint64_t{0});
    for (const int32_t id : constraint_->tokens().end_tokens())
      out[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (id % 64));
    return;
  }
  forcing_ = true;
  std::fill(out.begin(), out.end(), 0);
  const int32_t id = after_.tokens[std::min(forced_, after_.tokens.size() - 1)];
  out[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
}

void Guide::accept(int32_t token) {
  if (!free_) {
    if (!matcher_.accept(token))
      throw_invalid("grammar: found token " + std::to_string(token) + ", which it does not allow");
    return;
  }
  if (forcing_) {
    if (++forced_ >= after_.tokens.size()) free_ = false;
    return;
  }
  if (after_.tokens.size() == 1 && token == after_.tokens[0]) {
    free_ = false;
    return;
  }
  const text::TokenTable& table = constraint_->tokens();
  if (token < 0 || static_cast<size_t>(token) >= table.size()) return;
  tail_ += table.bytes(token);
  const size_t at = tail_.find(after_.text);
  if (at == std::string::npos) {
    const size_t keep = std::min(tail_.size(), after_.text.size() - 1);
    tail_.erase(0, tail_.size() - keep);
    return;
  }
  // What the same token wrote behind the marker belongs to the grammar; where it does not fit, such as the
  // blank lines that often follow, it stays outside.
  free_ = false;
  const std::string rest = tail_.substr(at + after_.text.size());
  if (!rest.empty()) matcher_.accept_bytes(rest);
  tail_.clear();
}

}  // namespace hoist::decode
