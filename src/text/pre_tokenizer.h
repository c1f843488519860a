// Pre-tokenizers: the flat list of steps that cuts normalised text into the words BPE works on.
//
// Immutable and thread-safe; linear in the text (unknown regular expressions under the limits of
// text/regex.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/pattern.h"

namespace hoist::text {

// What happens to the delimiters a pattern finds.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

enum class PrependScheme { kFirst, kNever, kAlways };

struct PreTokenizerStep {
  enum class Kind { kByteLevel, kMetaspace, kWhitespace, kWhitespaceSplit, kDigits, kPunctuation, kSplit };
  Kind kind;
  bool add_prefix_space = false;  // kByteLevel
  bool use_regex = false;
  uint32_t replacement = 0x2581;  // kMetaspace
  PrependScheme prepend_scheme = PrependScheme::kAlways;
  bool split = true;
  bool individual_digits = false;                     // kDigits
  SplitBehavior behavior = SplitBehavior::kIsolated;  // kPunctuation, kSplit
  std::optional<Pattern> pattern;                     // kSplit; kMetaspace and kByteLevel use it too
  bool invert = false;                                // kSplit
};

// Text being cut. Pieces are in order and never empty.
struct Pieces {
  struct Piece {
    uint32_t begin, end;
  };
  std::string_view text;
  std::string storage;  // owns `text` once a step has changed it
  std::vector<Piece> pieces;
  bool at_origin = false;   // the first piece begins at offset 0 of the user's input
  bool byte_level = false;  // each byte of a piece still has to be mapped to the byte alphabet

  std::string_view piece(size_t i) const {
    return text.substr(pieces[i].begin, pieces[i].end - pieces[i].begin);
  }
};

class PreTokenizer {
 public:
  std::vector<PreTokenizerStep> steps;

  // Cuts `text`, well-formed UTF-8 that must outlive `out`.
  void run(std::string_view text, bool at_origin, StepBudget& budget, Pieces& out) const;
};

// Applies `behavior` to the matches of one piece: the spans to keep, in order, empty ones included.
void split_spans(std::vector<Span>& spans, SplitBehavior behavior);

}  // namespace hoist::text
