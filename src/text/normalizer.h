// Normalizers: the flat list of steps that a tokenizer applies to text before cutting it.
//
// Immutable and thread-safe. Each step is linear; a list cannot inflate text beyond a fixed multiple (Error).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/charsmap.h"
#include "text/pattern.h"
#include "text/unicode.h"

namespace hoist::text {

struct NormalizerStep {
  enum class Kind {
    kForm,
    kLowercase,
    kStrip,
    kStripAccents,
    kReplace,
    kPrepend,
    kByteLevel,
    kBertClean,
    kBertChinese,
    kBertAccents,
    kCharsmap
  };
  Kind kind;
  NormalForm form = NormalForm::kNfc;            // kForm
  bool strip_left = false, strip_right = false;  // kStrip
  std::optional<Pattern> pattern;                // kReplace
  std::string content;                           // kReplace, kPrepend
  Charsmap charsmap;                             // kCharsmap
};

class Normalizer {
 public:
  std::vector<NormalizerStep> steps;

  bool empty() const { return steps.empty(); }

  // `at_origin`: on entry, whether `text` begins at offset 0 of the user's input; on return, whether the
  // first character of the result still comes from there (Metaspace's "first" asks).
  std::string run(std::string_view text, StepBudget& budget, bool& at_origin) const;
};

// Replaces every match. Shared with the Replace decoder. Throws when the result exceeds `limit` bytes.
std::string replace_all(const Pattern& pattern, std::string_view content, std::string_view text,
                        StepBudget& budget, size_t limit, bool& at_origin);

// The most bytes that one text of `size` bytes may become.
constexpr size_t expansion_limit(size_t size) { return (size_t{4} << 20) + 64 * size; }

}  // namespace hoist::text
