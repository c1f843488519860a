// Decoders: from token strings back to text, as a chain of stages that work on a stream.
//
// Batch decoding feeds every token and finishes; streaming hands out what has become certain. Both run the
// same stages, so the pieces of a stream always add up to the batch text. Each stage holds back only what
// later tokens can still change: the tail of a character, a run of byte tokens (one bad byte turns the whole
// run into U+FFFD), the last token before a BPEDecoder, the possible start of a pattern. A Replace with a
// regular expression behind a Fuse holds back everything. Work per token is constant, amortised.
//
// DecoderStep is immutable and thread-safe; a DecoderChain belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/pattern.h"

namespace hoist::text {

struct DecoderStep {
  enum class Kind { kByteLevel, kMetaspace, kBpe, kByteFallback, kFuse, kStrip, kReplace, kWordPiece };
  Kind kind;
  std::string replacement;         // kMetaspace, one character
  bool drop_first = true;          // kMetaspace: prepend_scheme is not "never"
  std::string suffix;              // kBpe, not empty
  std::string strip;               // kStrip, one character
  uint64_t start = 0, stop = 0;    // kStrip
  std::optional<Pattern> pattern;  // kReplace
  std::string content;             // kReplace
  std::string prefix;              // kWordPiece
  bool cleanup = false;            // kWordPiece: English spacing is put right
};

class DecoderChain {
 public:
  // An empty list without a decoder joins tokens with spaces, as the reference does; `steps` must outlive
  // this. `at_start`: the first token begins the text; otherwise nothing is cut off or left out at its start.
  DecoderChain(const std::vector<DecoderStep>& steps, bool has_decoder, bool at_start = true);
  ~DecoderChain();

  // Appends to `out` the text that is certain now.
  void feed(std::string_view token, std::string& out);
  void finish(std::string& out);  // the rest; call once, last

  class Stage;

 private:
  struct Sink;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<uint64_t> budget_;
  std::unique_ptr<StepBudget> steps_;
};

}  // namespace hoist::text
