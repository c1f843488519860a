#include "text/grammar/constraint.h"

#include <fmt/format.h>

#include <deque>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "text/grammar/alike.h"
#include "text/grammar/mask_entry.h"

namespace hoist::text {

using namespace grammar;

namespace {

// States of one signature that a new state is compared with, the newest first.
constexpr size_t kMostRepresentatives = 4;

}  // namespace

struct Constraint::Cache {
  Cache(const Automaton& a, const Costs& costs, uint32_t horizon)
      : horizon(horizon), alike(a, costs, horizon) {
    entries.resize(a.states());
  }

  // The kept entry of the state that is most alike: for as long as the longest token, or for `depth` bytes.
  struct Found {
    KeptMask mask;
    uint32_t depth = 0;
  };
  Found find_alike(State state) {
    Found best;
    for (const State other : with_signature[alike.signature(state)]) {
      if (!entries[other].entry) continue;
      const auto like = alike.compare(state, other);
      if (!like || like->depth < best.depth) continue;
      best = {{entries[other].entry, like->shift}, like->depth};
      if (best.depth == horizon) break;
    }
    return best;
  }

  std::mutex mutex;
  std::vector<KeptMask> entries;  // by state
  std::deque<State> order;        // states whose entries were made for them, oldest first
  size_t bytes = 0;
  const uint32_t horizon;  // bytes of the longest token
  Alike alike;
  std::unordered_map<uint64_t, std::vector<State>> with_signature;  // of those in `order`, the newest few
};

Constraint::Constraint(Grammar grammar, std::shared_ptr<const TokenTable> tokens,
                       const ConstraintOptions& options)
    : grammar_(std::move(grammar)),
      tokens_(std::move(tokens)),
      options_(options),
      costs_(std::make_unique<Costs>(find_costs(grammar_.automaton(), *tokens_))),
      cache_(std::make_unique<Cache>(grammar_.automaton(), *costs_, tokens_->longest())) {
  const Automaton& a = grammar_.automaton();
  Stacks stacks(a, *costs_, options_.max_depth);
  std::vector<StackNode> start;
  stacks.expand(a.root, 0, start, 0);
  stacks.tidy(start, 0);
  min_tokens_ = stacks.cost(start.data(), start.size());
  if (min_tokens_ == kCannot) {
    const bool deep = costs_->tokens[a.root] != kCannot;
    throw_unsupported(deep ? fmt::format("grammar: every text nests deeper than {} rules", options_.max_depth)
                           : std::string("grammar: this vocabulary has no tokens to write any of its texts"));
  }
}

Constraint::~Constraint() = default;

void Constraint::check_budget(uint64_t max_tokens) const {
  if (max_tokens >= min_tokens_) return;
  throw_invalid(fmt::format("max_tokens: found {}, expected at least {}, which the shortest text takes",
                            max_tokens, min_tokens_));
}

KeptMask Constraint::entry(uint16_t state, Stacks& stacks) const {
  Cache& cache = *cache_;
  Cache::Found known;
  {
    std::lock_guard lock(cache.mutex);
    if (cache.entries[state].entry) return cache.entries[state];
    known = cache.find_alike(state);
    if (known.mask.entry && known.depth == cache.horizon) return cache.entries[state] = known.mask;
  }
  const PartialMask part{known.mask.entry.get(), known.depth, known.mask.shift};
  const KeptMask made{std::make_shared<const MaskEntry>(make_entry(state, *tokens_, stacks, part)), 0};
  const size_t bytes = made.entry->bytes();
  std::lock_guard lock(cache.mutex);
  if (cache.entries[state].entry) return cache.entries[state];
  while (!cache.order.empty() && cache.bytes + bytes > options_.cache_bytes) {
    // States alike go with it: they would hold the memory.
    const auto oldest = cache.entries[cache.order.front()].entry;
    for (KeptMask& kept : cache.entries) {
      if (kept.entry == oldest) kept = {};
    }
    std::erase(cache.with_signature[cache.alike.signature(cache.order.front())], cache.order.front());
    cache.bytes -= oldest->bytes();
    cache.order.pop_front();
  }
  if (bytes > options_.cache_bytes) return made;
  cache.entries[state] = made;
  cache.order.push_back(state);
  cache.bytes += bytes;
  std::vector<State>& representatives = cache.with_signature[cache.alike.signature(state)];
  if (representatives.size() >= kMostRepresentatives) representatives.pop_back();
  representatives.insert(representatives.begin(), state);
  return made;
}

size_t Constraint::cached_bytes() const {
  std::lock_guard lock(cache_->mutex);
  return cache_->bytes;
}

}  // namespace hoist::text
