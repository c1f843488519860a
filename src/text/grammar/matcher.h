// One constrained generation: which tokens may come next, and what came.
//
// Belongs to one thread at a time; the Constraint is shared. Memory grows by a few words per accepted token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "text/grammar/constraint.h"

namespace hoist::text {

class Matcher {
 public:
  static constexpr uint64_t kNoCap = UINT64_MAX;

  explicit Matcher(std::shared_ptr<const Constraint> constraint);
  ~Matcher();
  Matcher(const Matcher&);
  Matcher& operator=(const Matcher&) = delete;

  // Fills `out` (mask_words() words; token id i is bit i % 64 of word i / 64) with the tokens that may come
  // next. `tokens_left` is how many may still be generated, this one included: what is allowed leaves enough
  // for the shortest way to the end. With fewer than min_tokens() left, the tokens that lead to the end
  // soonest. An end token is allowed when the text is whole, and needs no room. All zero once finished.
  // Throws Error(kResourceExhausted) if the grammar is too ambiguous.
  void mask(std::span<uint64_t> out, uint64_t tokens_left = kNoCap);

  // Takes a token; false, and nothing changed, if the mask without a cap does not allow it.
  bool accept(int32_t token);
  // Takes bytes as if they were tokens of a vocabulary that has them all, one step to roll back for the
  // whole; false, and nothing changed, if the grammar does not allow them or nothing could follow.
  bool accept_bytes(std::string_view bytes);
  // Takes back the last n accepted tokens (or calls of accept_bytes): n <= accepted().
  void rollback(size_t n);
  size_t accepted() const;
  size_t mask_words() const;

  bool may_stop() const;   // the text so far is whole
  bool must_stop() const;  // and nothing but an end token can follow
  bool finished() const;   // an end token was accepted
  // Tokens that suffice to make the text whole from here, not counting an end token.
  uint32_t min_tokens() const;

  // The bytes that must come next because nothing else can, at most `max_bytes`; often "".
  std::string forced_bytes(size_t max_bytes = 256) const;

 private:
  struct State;
  bool advance(std::string_view bytes);
  std::unique_ptr<State> state_;
};

}  // namespace hoist::text
