#include "text/grammar/token_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace hoist::text {

TokenTable::TokenTable(std::vector<std::string> bytes, std::vector<int32_t> end_tokens)
    : bytes_(std::move(bytes)), end_tokens_(std::move(end_tokens)) {
  if (bytes_.size() > kMaxTokens) {
    throw_invalid(fmt::format("vocabulary: found {} tokens, expected at most {}", bytes_.size(), kMaxTokens));
  }
  std::sort(end_tokens_.begin(), end_tokens_.end());
  end_tokens_.erase(std::unique(end_tokens_.begin(), end_tokens_.end()), end_tokens_.end());
  for (const int32_t id : end_tokens_) {
    if (id < 0 || static_cast<size_t>(id) >= bytes_.size()) {
      throw_invalid(
          fmt::format("vocabulary: found end token {}, expected 0 to {}", id, int64_t(bytes_.size()) - 1));
    }
    bytes_[static_cast<size_t>(id)].clear();
  }
  for (size_t id = 0; id < bytes_.size(); ++id) {
    std::string& text = bytes_[id];
    if (text.size() > kMaxTokenBytes) text.clear();
    if (text.empty()) continue;
    sorted_.push_back(static_cast<int32_t>(id));
    if (text.size() == 1) single_[static_cast<uint8_t>(text[0])] = true;
  }
  every_byte_ = std::all_of(std::begin(single_), std::end(single_), [](bool b) { return b; });
  std::sort(sorted_.begin(), sorted_.end(), [this](int32_t a, int32_t b) {
    const int order = this->bytes(a).compare(this->bytes(b));
    return order != 0 ? order < 0 : a < b;
  });

  // A node made on the way to token i starts at i; its own tokens end where the next node starts.
  std::string_view path;
  std::vector<uint32_t> open;  // nodes of `path`
  for (uint32_t i = 0; i < sorted_.size(); ++i) {
    const std::string_view text = this->bytes(sorted_[i]);
    size_t same = 0;
    while (same < path.size() && same < text.size() && path[same] == text[same]) ++same;
    for (; open.size() > same; open.pop_back()) skip_[open.back()] = static_cast<uint32_t>(byte_.size());
    for (size_t at = same; at < text.size(); ++at) {
      open.push_back(static_cast<uint32_t>(byte_.size()));
      byte_.push_back(static_cast<uint8_t>(text[at]));
      skip_.push_back(0);
      depth_.push_back(static_cast<uint16_t>(at + 1));
      first_.push_back(i);
    }
    path = text;
  }
  for (; !open.empty(); open.pop_back()) skip_[open.back()] = static_cast<uint32_t>(byte_.size());
  first_.push_back(static_cast<uint32_t>(sorted_.size()));
}

bool TokenTable::is_end(int32_t id) const {
  return std::binary_search(end_tokens_.begin(), end_tokens_.end(), id);
}

}  // namespace hoist::text
