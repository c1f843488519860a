#include "decode/draft.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "decode/engine.h"

namespace hoist::decode {

namespace {

class PromptLookup final : public Drafter {
 public:
  explicit PromptLookup(int64_t least) : least_(static_cast<size_t>(least)) {}

  void propose(std::span<Ask> asks) override {
    for (Ask& a : asks) look_up(a);
  }

 private:
  // The latest of the longest matches; every end is looked at once.
  void look_up(Ask& a) const {
    const std::span<const int32_t> t = a.tokens;
    size_t best = 0, from = 0;
    const size_t longest = least_ + 3;
    for (size_t end = t.size() - 1; end >= least_ && best < longest; --end) {
      size_t same = 0;
      while (same < longest && same < end && t[end - 1 - same] == t[t.size() - 1 - same]) ++same;
      if (same > best) {
        best = same;
        from = end;
      }
    }
    if (best < least_) return;
    const size_t count = std::min(static_cast<size_t>(a.most), t.size() - from);
    a.draft.assign(t.begin() + static_cast<std::ptrdiff_t>(from),
                   t.begin() + static_cast<std::ptrdiff_t>(from + count));
  }
  size_t least_;
};

class ModelDrafter final : public Drafter {
 public:
  ModelDrafter(const Model& target, const Model& draft, EngineOptions options) {
    if (target.config.vocab != draft.config.vocab)
      throw_invalid("draft model " + draft.name + ": found a vocabulary of " +
                    std::to_string(draft.config.vocab) + " tokens, expected " + target.name + "'s " +
                    std::to_string(target.config.vocab));
    // What was said so far is found in the prefix cache, but for the last block's part: so blocks are small.
    options.block = 4;
    options.prefix_cache = true;
    options.policy = {"fcfs", {}};
    options.swap_bytes = 0;
    options.memory = 0;
    options.speculate = 0;
    options.trace = nullptr;
    options.context = std::min(options.context, draft.config.longest_context());
    engine_ = std::make_unique<Engine>(draft, options);
  }

  void propose(std::span<Ask> asks) override {
    std::unordered_map<uint64_t, Ask*> asked;
    for (Ask& a : asks) {
      const int64_t room = engine_->context() - static_cast<int64_t>(a.tokens.size());
      if (room < 1) continue;
      SequenceRequest r;
      r.prompt.assign(a.tokens.begin(), a.tokens.end());
      r.max_tokens = std::min(a.most, room);
      r.ignore_eos = true;
      r.scope = a.scope;
      asked[engine_->add(std::move(r))] = &a;
    }
    while (!engine_->idle()) {
      events_.clear();
      engine_->step(events_);
      for (const TokenEvent& e : events_)
        if (e.token != kNoToken) asked.at(e.id)->draft.push_back(e.token);
    }
  }

 private:
  std::unique_ptr<Engine> engine_;
  std::vector<TokenEvent> events_;
};

}  // namespace

std::unique_ptr<Drafter> make_prompt_lookup(int64_t least) { return std::make_unique<PromptLookup>(least); }

std::unique_ptr<Drafter> make_model_drafter(const Model& target, const Model& draft,
                                            const EngineOptions& options) {
  return std::make_unique<ModelDrafter>(target, draft, options);
}

void DraftLength::tried(int64_t drafted, int64_t accepted) {
  if (accepted == drafted) {
    length_ = std::min<int64_t>(2 * length_, 64);
    pause_ = 2;
  } else if (accepted > 0) {
    length_ = accepted + 1;
    pause_ = 2;
  } else if (length_ > 1) {
    length_ = length_ / 2;
  } else {
    silent_ = pause_;
    pause_ = std::min<int64_t>(2 * pause_, 64);
  }
}

}  // namespace hoist::decode
