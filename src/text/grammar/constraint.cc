#include "text/grammar/constraint.h"

#include <fmt/format.h>

#include <deque>
#include <mutex>

#include "base/error.h"
#include "text/grammar/mask_entry.h"

namespace hoist::text {

using namespace grammar;

struct Constraint::Cache {
  std::mutex mutex;
  std::vector<std::shared_ptr<const MaskEntry>> entries;  // by state
  std::deque<State> order;                                // oldest first
  size_t bytes = 0;
};

Constraint::Constraint(Grammar grammar, std::shared_ptr<const TokenTable> tokens,
                       const ConstraintOptions& options)
    : grammar_(std::move(grammar)),
      tokens_(std::move(tokens)),
      options_(options),
      costs_(std::make_unique<Costs>(find_costs(grammar_.automaton(), *tokens_))),
      cache_(std::make_unique<Cache>()) {
  const Automaton& a = grammar_.automaton();
  cache_->entries.resize(a.states());
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

std::shared_ptr<const MaskEntry> Constraint::entry(uint16_t state, Stacks& stacks) const {
  Cache& cache = *cache_;
  {
    std::lock_guard lock(cache.mutex);
    if (cache.entries[state]) return cache.entries[state];
  }
  auto made = std::make_shared<const MaskEntry>(make_entry(state, *tokens_, stacks));
  std::lock_guard lock(cache.mutex);
  if (cache.entries[state]) return cache.entries[state];
  while (!cache.order.empty() && cache.bytes + made->bytes() > options_.cache_bytes) {
    auto& oldest = cache.entries[cache.order.front()];
    cache.bytes -= oldest->bytes();
    oldest.reset();
    cache.order.pop_front();
  }
  if (made->bytes() > options_.cache_bytes) return made;
  cache.entries[state] = made;
  cache.order.push_back(state);
  cache.bytes += made->bytes();
  return made;
}

size_t Constraint::cached_bytes() const {
  std::lock_guard lock(cache_->mutex);
  return cache_->bytes;
}

}  // namespace hoist::text
