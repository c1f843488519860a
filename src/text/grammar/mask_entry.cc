#include "text/grammar/mask_entry.h"

#include <algorithm>
#include <array>
#include <bit>

namespace hoist::text::grammar {
namespace {

void set_bit(uint64_t* out, int32_t token) { out[token >> 6] |= uint64_t{1} << (token & 63); }

// Appends the tokens of at most known.depth bytes, with their costs, and the ends no deeper.
void take_known(const PartialMask& known, const TokenTable& table, MaskEntry& entry,
                std::vector<PricedToken>& all) {
  const MaskEntry& from = *known.entry;
  std::vector<uint64_t> usual = from.bits, shorter(table.mask_words(), ~uint64_t{0});
  for (const int32_t token : table.longer_than(known.depth)) {
    shorter[static_cast<size_t>(token >> 6)] &= ~(uint64_t{1} << (token & 63));
  }
  const auto shifted = [&](uint32_t cost) { return static_cast<uint32_t>(int64_t{cost} + known.shift); };
  for (const PricedToken& p : from.priced) {
    const auto word = static_cast<size_t>(p.token >> 6);
    const uint64_t bit = uint64_t{1} << (p.token & 63);
    if (!usual.empty()) usual[word] &= ~bit;
    if (shorter[word] & bit) all.push_back({shifted(p.cost), p.token});
  }
  for (size_t word = 0; word < usual.size(); ++word) {
    for (uint64_t bits = usual[word] & shorter[word]; bits; bits &= bits - 1) {
      all.push_back({shifted(from.usual_cost), static_cast<int32_t>(word * 64 + std::countr_zero(bits))});
    }
  }
  for (const uint32_t node : from.ends) {
    if (table.node(node).depth <= known.depth) entry.ends.push_back(node);
  }
  entry.reach = from.reach;
}

}  // namespace

void MaskEntry::apply(uint32_t most, uint64_t* out) const {
  if (bits.empty()) {
    for (const PricedToken& p : priced) {
      if (p.cost > most) return;
      set_bit(out, p.token);
    }
    return;
  }
  if (usual_cost > most) {
    for (const PricedToken& p : priced) {
      if (p.cost > most) return;
      set_bit(out, p.token);
    }
    return;
  }
  if (priced.empty() || priced.back().cost <= most) {
    for (size_t i = 0; i < bits.size(); ++i) out[i] |= bits[i];
    return;
  }
  // Other stacks may have allowed the tokens that are too dear here.
  std::vector<uint64_t> kept = bits;
  for (size_t i = priced.size(); i-- > 0 && priced[i].cost > most;) {
    kept[static_cast<size_t>(priced[i].token >> 6)] &= ~(uint64_t{1} << (priced[i].token & 63));
  }
  for (size_t i = 0; i < kept.size(); ++i) out[i] |= kept[i];
}

MaskEntry make_entry(State state, const TokenTable& table, Stacks& stacks, const PartialMask& known) {
  MaskEntry entry;
  std::vector<PricedToken> all;
  all.reserve(table.size());
  if (known.entry) take_known(known, table, entry, all);
  std::vector<StackNode> pool = {{0, state}};
  const size_t frames = stacks.size();
  stacks.reach = 0;
  stacks.walk(
      table, 0, static_cast<uint32_t>(table.nodes()), 0, pool, 0,
      [&](uint32_t node, const StackNode* set, size_t count) {
        if (table.node(node).depth <= known.depth) return;
        uint32_t cost = kCannot;
        const bool has_tokens = table.has_tokens(node);
        for (size_t i = 0; i < count; ++i) {
          if (set[i].state == 0) {
            entry.ends.push_back(node);
          } else if (has_tokens) {
            cost = std::min(cost, stacks.cost(set[i]));
          }
        }
        if (cost == kCannot) return;
        for (const int32_t token : table.tokens(node)) all.push_back({cost, token});
      },
      known.depth);
  entry.reach = std::max(entry.reach, stacks.reach);
  stacks.truncate(frames);

  const auto cheaper = [](const PricedToken& a, const PricedToken& b) {
    return a.cost != b.cost ? a.cost < b.cost : a.token < b.token;
  };
  if (all.size() * 2 > table.mask_words()) {
    // The commonest of the small costs; which one only decides how long the list gets.
    std::array<uint32_t, 256> counts{};
    for (const PricedToken& p : all) {
      if (p.cost < counts.size()) ++counts[p.cost];
    }
    entry.usual_cost = static_cast<uint32_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
    entry.bits.assign(table.mask_words(), 0);
    for (const PricedToken& p : all) {
      set_bit(entry.bits.data(), p.token);
      if (p.cost != entry.usual_cost) entry.priced.push_back(p);
    }
  } else {
    entry.priced = std::move(all);
  }
  std::sort(entry.priced.begin(), entry.priced.end(), cheaper);
  entry.priced.shrink_to_fit();
  entry.ends.shrink_to_fit();
  return entry;
}

}  // namespace hoist::text::grammar
