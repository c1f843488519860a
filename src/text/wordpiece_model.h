// The WordPiece model: a word becomes its longest known beginning, then the longest known continuation of
// that, and so on. Schuster and Nakajima, "Japanese and Korean voice search", 2012; as in BERT.
//
// A word with a part that nothing covers becomes unk_token whole, and so does one of more than
// max_input_chars characters. Time is at most linear in the word for each token of it, and words are short.
// Read-only after finish(): safe to share between threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_trie.h"
#include "text/vocab.h"

namespace hoist::text {

class WordPieceModel {
 public:
  static constexpr uint64_t kMostInputChars = 1000;  // files have 100

  Vocab vocab;
  std::string unk_token = "[UNK]";
  std::string continuing_subword_prefix = "##";
  uint64_t max_input_chars = 100;  // at most kMostInputChars

  // Builds the tables that encoding uses; call once, when the vocabulary is finished.
  void finish();

  // Appends the ids of `word`, well-formed UTF-8. Throws Error(kCorrupt) if unk_token is needed and not in
  // the vocabulary.
  void encode_word(std::string_view word, std::vector<int32_t>& out) const;

 private:
  int32_t unknown_id() const;

  TokenTrie trie_;
  uint32_t inside_ = TokenTrie::kNowhere;  // where continuing_subword_prefix leads
};

}  // namespace hoist::text
