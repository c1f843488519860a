#include "text/grammar/mask_entry.h"

#include <algorithm>
#include <array>

namespace hoist::text::grammar {
namespace {

void set_bit(uint64_t* out, int32_t token) { out[token >> 6] |= uint64_t{1} << (token & 63); }

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

MaskEntry make_entry(State state, const TokenTable& table, Stacks& stacks) {
  MaskEntry entry;
  std::vector<PricedToken> all;
  all.reserve(table.size());
  std::vector<StackNode> pool = {{0, state}};
  const size_t frames = stacks.size();
  stacks.reach = 0;
  stacks.walk(table, 0, static_cast<uint32_t>(table.nodes()), 0, pool, 0,
              [&](uint32_t node, const StackNode* set, size_t count) {
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
              });
  entry.reach = stacks.reach;
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
