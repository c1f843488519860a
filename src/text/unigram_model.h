// The Unigram model: of all ways to cut a word into tokens, the one whose scores add up to most. Kudo,
// "Subword regularization", 2018; as SentencePiece and the `tokenizers` package compute it.
//
// A character that no token of its own covers may stand alone at 10 below the lowest score; neighbours of
// that kind are joined, and become their bytes' tokens (byte_fallback) or the unknown token. Ties go to the
// token that begins first. Time is linear in the word times the longest token; memory is linear; no
// recursion. Read-only after finish(): safe to share between threads, each with its own Scratch.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_trie.h"
#include "text/vocab.h"

namespace hoist::text {

class UnigramModel {
 public:
  static constexpr size_t kLongestToken = 4096;             // bytes
  static constexpr size_t kLongestWord = size_t{64} << 20;  // bytes

  Vocab vocab;
  std::vector<double> scores;  // by id: ids are places in the file's list
  int32_t unk_id = -1;         // -1: none
  bool byte_fallback = false;

  // Builds the tables that encoding uses; call once, when the vocabulary and its scores are finished.
  void finish();

  // Working memory of one thread; reusable.
  class Scratch {
    friend class UnigramModel;
    struct Node {
      double score = 0;
      int32_t id = -1;
      uint32_t begin = kUnreached;
    };
    struct Piece {
      uint32_t begin, end;
      bool unknown;
    };
    static constexpr uint32_t kUnreached = 0xFFFFFFFF;
    std::vector<Node> nodes;  // by end of the token, in bytes
    std::vector<Piece> pieces;
  };

  // Appends the ids of `word`, well-formed UTF-8. Throws Error(kCorrupt) where an unknown token is needed and
  // there is none, Error(kResourceExhausted) for a word beyond kLongestWord.
  void encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const;

 private:
  int32_t unknown_id() const;
  void append_piece(std::string_view piece, std::vector<int32_t>& out) const;

  TokenTrie trie_;
  double unknown_score_ = 0;
  std::array<int32_t, 256> byte_ids_{};  // byte -> token "<0xNN>"
};

}  // namespace hoist::text
