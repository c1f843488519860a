#include "decode/token_filter.h"

#include <algorithm>

namespace hoist::decode {

std::span<const uint64_t> TokenFilter::allowed(Guide* guide, uint64_t left, std::span<const int32_t> banned,
                                               int64_t vocab) {
  if (!guide && banned.empty()) return {};
  const size_t words = static_cast<size_t>((vocab + 63) / 64);
  bits_.assign(words, guide ? 0 : ~uint64_t{0});
  // A tokenizer may have fewer tokens than the model has rows; the grammar knows only its tokens.
  if (guide) guide->mask(std::span(bits_).first(guide->mask_words()), left);
  if (banned.empty()) return bits_;
  without_ = bits_;
  for (const int32_t id : banned)
    if (id >= 0 && id < vocab) without_[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (id % 64));
  const bool some = std::any_of(without_.begin(), without_.end(), [](uint64_t w) { return w != 0; });
  return some ? without_ : bits_;
}

}  // namespace hoist::decode
