// Guide: keeps one sequence within a grammar, from its first token or from where a marker ends.
//
// With a marker ("</think>") the answer begins with free text that must end in it; what follows is the
// grammar's. The cap on tokens holds for both: when only enough are left to write the marker and the shortest
// text of the grammar, the marker is written. So whatever the cap, the answer's constrained part is whole,
// unless the cap was too small for it from the start (min_tokens()).
//
// Belongs to one sequence, and to one thread at a time; the Constraint behind it is shared.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "text/grammar/matcher.h"

namespace hoist::decode {

// Free text up to the end of `text`; `tokens` spell it, at least one. No text: none.
struct GuideMarker {
  std::string text;
  std::vector<int32_t> tokens;
};

class Guide {
 public:
  explicit Guide(std::shared_ptr<const text::Constraint> constraint, GuideMarker after = {});

  // Fills `out` (a bit a token, see text::Matcher::mask) with what may come next. `left`: tokens that may
  // still come, this one included, at least 1. Throws Error(kResourceExhausted) for a grammar too ambiguous.
  void mask(std::span<uint64_t> out, uint64_t left);
  // The token that came. Throws Error(kInvalidArgument) if the mask did not allow it.
  void accept(int32_t token);
  // Nothing more can follow.
  bool done() const { return !free_ && matcher_.must_stop(); }
  size_t mask_words() const { return matcher_.mask_words(); }

  // What the shortest answer takes, the marker included.
  static uint64_t min_tokens(const text::Constraint& constraint, const GuideMarker& after);

 private:
  std::shared_ptr<const text::Constraint> constraint_;
  text::Matcher matcher_;
  GuideMarker after_;
  bool free_ = false;     // the marker has not come yet
  bool forcing_ = false;  // it is being written, because the cap is near
  size_t forced_ = 0;     // of its tokens
  std::string tail_;      // the last bytes of the free text, too few for the marker
};

}  // namespace hoist::decode
