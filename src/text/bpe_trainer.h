// Makes tokenizers from text: byte-level BPE (GPT-2's split), and one token per character.
//
// Both return the text of a tokenizer.json that Tokenizer::from_json and the `tokenizers` package read with
// the same ids. Deterministic: the same documents in the same order and the same options give the same bytes;
// ties between equally frequent pairs go to the smaller ids. Memory grows with the number of distinct words.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text {

// How text is cut into words before merges are learned. A Qwen2 or Qwen3 folder needs kQwen2: `transformers`
// gives its tokenizer class that cut and NFC whatever tokenizer.json says.
enum class BpeSplit { kGpt2, kQwen2 };

struct BpeTrainerOptions {
  BpeSplit split = BpeSplit::kGpt2;
  int32_t vocab_size = 4096;   // special tokens + 256 bytes + merges; fewer come out when the text runs dry
  uint64_t min_frequency = 2;  // pairs seen less often are not merged
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // ids 0, 1, ...
  // Called now and then while merging, with merges made and wanted.
  std::function<void(int32_t done, int32_t wanted)> progress;
};

class BpeTrainer {
 public:
  // Throws Error(kInvalidArgument) for options that cannot be met.
  explicit BpeTrainer(BpeTrainerOptions options);
  ~BpeTrainer();

  // Counts the words of one document (repaired if it is not UTF-8). Words do not cross documents.
  void add(std::string_view document);

  // Learns the merges and returns the tokenizer.json. Call once, last.
  std::string train();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string train_bpe(std::span<const std::string> documents, const BpeTrainerOptions& options);

// Every distinct character of `text` is a token, ids in code point order; characters outside are dropped when
// encoding. No merges, no special tokens. Throws Error(kInvalidArgument) when `text` is empty.
std::string make_character_tokenizer(std::string_view text);

}  // namespace hoist::text
