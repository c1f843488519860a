// Drafters: guess the next tokens of sequences, for the model to check several in one step (speculative
// decoding; Leviathan et al., arXiv 2211.17192).
//
// A guess costs rows of a step and never changes what is said: the engine samples at each row as it would
// have without the guess - the sampler is a function of logits, parameters and position alone - and goes on
// to the next row only when the guess was what it drew. Tokens are thus the same at any temperature, not only
// their distribution.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace hoist::decode {

class Engine;
class Model;
struct EngineOptions;

class Drafter {
 public:
  struct Ask {
    uint64_t id = 0;
    uint64_t scope = 0;               // what is kept of one is not shown to another
    std::span<const int32_t> tokens;  // so far
    int64_t most = 0;                 // tokens wanted; at least 1
    std::vector<int32_t> draft;       // the answer: at most so many, or none
  };
  virtual ~Drafter() = default;
  virtual void propose(std::span<Ask> asks) = 0;
};

// What followed the last time the sequence's last tokens occurred in it (prompt lookup; Saxena, 2023; as
// transformers' prompt_lookup_num_tokens): for answers that repeat their prompts. At least `least` tokens
// must match; longer matches, up to three more, come first.
std::unique_ptr<Drafter> make_prompt_lookup(int64_t least = 2);

// Greedy tokens of a smaller model of the same vocabulary, which outlives the drafter. Throws Error when the
// vocabularies differ in size. `options` size its engine; its prefix cache keeps what sequences have so far.
std::unique_ptr<Drafter> make_model_drafter(const Model& target, const Model& draft,
                                            const EngineOptions& options);

// How many tokens to guess for a sequence: more while guesses hold, fewer when they fail, and now and then
// one to see whether that has changed.
class DraftLength {
 public:
  int64_t most(int64_t limit) const { return silent_ > 0 ? 0 : length_ < limit ? length_ : limit; }
  void tried(int64_t drafted, int64_t accepted);
  void skipped() {
    if (silent_ > 0) --silent_;
  }

 private:
  int64_t length_ = 4;
  int64_t silent_ = 0, pause_ = 2;  // steps
};

}  // namespace hoist::decode
