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
    for (; open.size() > same; open.pop_back())
      nodes_[open.back()].skip = static_cast<uint32_t>(nodes_.size());
    for (size_t at = same; at < text.size(); ++at) {
      open.push_back(static_cast<uint32_t>(nodes_.size()));
      const auto depth = static_cast<uint16_t>(at + 1);
      nodes_.push_back({0, i, depth, depth, static_cast<uint8_t>(text[at])});
    }
    path = text;
  }
  for (; !open.empty(); open.pop_back()) nodes_[open.back()].skip = static_cast<uint32_t>(nodes_.size());
  // Children come after their parent, so from the back every subtree is known before it is needed.
  open.assign(kMaxTokenBytes + 2, 0);  // the deepest below a node of that depth
  for (size_t i = nodes_.size(); i-- > 0;) {
    Node& node = nodes_[i];
    node.deepest = static_cast<uint16_t>(std::max<uint32_t>(node.depth, open[node.depth + 1u]));
    open[node.depth + 1u] = 0;
    open[node.depth] = std::max<uint32_t>(open[node.depth], node.deepest);
  }
  nodes_.push_back({0, static_cast<uint32_t>(sorted_.size()), 0, 0, 0});

  by_length_ = sorted_;
  std::stable_sort(by_length_.begin(), by_length_.end(),
                   [this](int32_t a, int32_t b) { return length(a) > length(b); });
}

std::span<const int32_t> TokenTable::longer_than(uint32_t bytes) const {
  const auto end = std::partition_point(by_length_.begin(), by_length_.end(),
                                        [&](int32_t id) { return length(id) > bytes; });
  return {by_length_.data(), static_cast<size_t>(end - by_length_.begin())};
}

bool TokenTable::is_end(int32_t id) const {
  return std::binary_search(end_tokens_.begin(), end_tokens_.end(), id);
}

}  // namespace hoist::text
