// The engine's steps as prompts shape them: how long their pieces are, and the log-probabilities of their
// tokens.
//
// A sequence that wants those needs the logits of all its prompt's rows but computes each once: `told` says
// how far they are, and a row below it is computed again, after a preemption, without its logits. Until all
// are told nothing is taken from the prefix cache. A row of logits is as wide as the vocabulary, so there are
// few (models::ServeShape::rows) and pieces are cut to them; each is reduced to what was asked for before the
// next step.
#include <algorithm>

#include "base/check.h"
#include "decode/engine.h"

namespace hoist::decode {

bool Engine::may_reuse(const Sequence& s) const {
  return options_.prefix_cache && s.request.assumed == 0 && !s.tells();
}

// Rows of a piece whose logits are wanted for the prompt's sake; they end where the row sampled from begins.
int64_t Engine::prompt_rows(const sched::Work& w) {
  const Sequence& s = at(w.slot);
  if (!s.tells()) return 0;
  const int64_t first = state(w.slot).computed;
  HOIST_CHECK(first <= s.told, "a prompt's row was passed over");
  return std::max<int64_t>(0, std::min(first + w.tokens, s.prompt_tokens() - 1) - s.told);
}

// Tokens that a piece may have, with `rows` of logits beside the one that every sequence has.
int64_t Engine::most_tokens(const sched::Work& w, int64_t rows) {
  const Sequence& s = at(w.slot);
  const int64_t left = state(w.slot).left();
  return s.tells() ? std::min(left, s.told - state(w.slot).computed + 1 + rows) : left;
}

// Tokens that turned out to be known need no computing, and those whose logits find no room wait; others'
// prompts get their places in the step.
void Engine::trim() {
  int64_t budget = shape_.tokens;
  int64_t rows = shape_.rows - static_cast<int64_t>(decision_.work.size());
  for (sched::Work& w : decision_.work) {
    w.tokens = std::min(w.tokens, most_tokens(w, rows));
    const bool yields = w.tokens == state(w.slot).left();
    rows -= std::max<int64_t>(0, prompt_rows(w) + yields - 1);
    budget -= w.tokens;
  }
  for (sched::Work& w : decision_.work) {
    const int64_t left = state(w.slot).left();
    if (!at(w.slot).tells()) {
      const int64_t more = std::min(budget, left - w.tokens);
      w.tokens += more;
      budget -= more;
    }
    w.yields = w.tokens == left;
  }
}

// False when a row is not usable: the sequence ends with an error.
bool Engine::tell_prompt(Sequence& s, int64_t rows, const float* logits, std::vector<TokenEvent>& events) {
  const auto vocab = static_cast<size_t>(model_.config.vocab);
  TokenEvent event;
  event.id = s.id;
  event.prompt_tokens = s.prompt_tokens();
  event.reused = s.reused;
  event.prompt_logprobs.resize(static_cast<size_t>(rows));
  std::vector<uint8_t> good(static_cast<size_t>(rows));
  threads_->parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const auto i = static_cast<size_t>(row);
      const std::span<const float> one(logits + i * vocab, vocab);
      good[i] = has_logprobs(one);
      if (good[i])
        event.prompt_logprobs[i] =
            step_logprobs(one, s.tokens[static_cast<size_t>(s.told + row) + 1], s.request.prompt_logprobs);
    }
  });
  const auto bad = std::find(good.begin(), good.end(), 0) - good.begin();
  s.told += rows;
  if (bad < rows) {
    event.prompt_logprobs.clear();
    event.finish = Finish::kError;
    event.error = "the model's output is not a number at position " + std::to_string(s.told - rows + bad);
  }
  events.push_back(std::move(event));
  return bad == rows;
}

}  // namespace hoist::decode
