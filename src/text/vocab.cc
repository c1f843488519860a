#include "text/vocab.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "base/check.h"
#include "text/flat_map.h"

namespace hoist::text {

size_t Vocab::find_slot(std::string_view token) const {
  const size_t mask = slots_.size() - 1;
  size_t at = XXH3_64bits_withSeed(token.data(), token.size(), hash_seed()) & mask;
  while (slots_[at] != 0 && text(entries_[slots_[at] - 1]) != token) at = (at + 1) & mask;
  return at;
}

bool Vocab::add(std::string_view token, uint64_t id) {
  if ((entries_.size() + 1) * 2 > slots_.size()) {
    slots_.assign(slots_.empty() ? 64 : slots_.size() * 2, 0);
    for (size_t i = 0; i < entries_.size(); ++i) {
      slots_[find_slot(text(entries_[i]))] = static_cast<uint32_t>(i + 1);
    }
  }
  const size_t slot = find_slot(token);
  if (slots_[slot] != 0) return false;
  entries_.push_back({arena_.size(), static_cast<uint32_t>(token.size()), id});
  arena_.append(token);
  slots_[slot] = static_cast<uint32_t>(entries_.size());
  return true;
}

std::string Vocab::finish() {
  const uint64_t limit = 4 * static_cast<uint64_t>(entries_.size()) + 65536;
  uint64_t end = 0;
  for (const Entry& entry : entries_) {
    if (entry.id >= limit) {
      return fmt::format("token '{}' has id {}, expected below {} for {} tokens", text(entry), entry.id,
                         limit, entries_.size());
    }
    end = std::max(end, entry.id + 1);
  }
  by_id_.assign(end, 0);
  for (size_t i = 0; i < entries_.size(); ++i) {
    uint32_t& at = by_id_[entries_[i].id];
    if (at != 0) {
      return fmt::format("tokens '{}' and '{}' share id {}", text(entries_[at - 1]), text(entries_[i]),
                         entries_[i].id);
    }
    at = static_cast<uint32_t>(i + 1);
  }
  return {};
}

int32_t Vocab::find(std::string_view token) const {
  if (slots_.empty()) return kNone;
  const uint32_t at = slots_[find_slot(token)];
  return at == 0 ? kNone : static_cast<int32_t>(entries_[at - 1].id);
}

bool Vocab::has(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < by_id_.size() && by_id_[static_cast<size_t>(id)] != 0;
}

std::string_view Vocab::token(int32_t id) const {
  HOIST_CHECK(has(id), "Vocab::token: id without a token");
  return text(entries_[by_id_[static_cast<size_t>(id)] - 1]);
}

}  // namespace hoist::text
