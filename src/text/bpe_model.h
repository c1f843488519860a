// The BPE model: one word in, token ids out.
//
// Merging equals "apply the merge of lowest rank, leftmost first, until none applies". Time is n log n in
// the length of the word in the worst case and linear for runs of one character; memory is linear; no
// recursion. Read-only after finish(): safe to share between threads, each with its own Scratch.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/flat_map.h"
#include "text/vocab.h"

namespace hoist::text {

class BpeMerger;

class BpeModel {
 public:
  Vocab vocab;
  std::string unk_token;  // meaningful when has_unk
  bool has_unk = false;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
  std::string continuing_subword_prefix;
  std::string end_of_word_suffix;

  BpeModel();
  ~BpeModel();
  BpeModel(const BpeModel&) = delete;
  BpeModel& operator=(const BpeModel&) = delete;

  // Merges are added after the vocabulary is finished; the nth has rank n, or `rank` if given (at most n). A
  // pair given twice keeps its last rank. Returns an empty string, or what is wrong.
  std::string add_merge(std::string_view left, std::string_view right, const uint32_t* rank = nullptr);

  // Builds the tables that encoding uses; call once, after the last merge.
  void finish();

  // Working memory of one thread; reusable.
  class Scratch {
   public:
    Scratch();
    ~Scratch();
    uint64_t lookups() const;  // pairs looked up so far: a measure of work

   private:
    friend class BpeModel;
    std::string mapped;
    std::unique_ptr<BpeMerger> merger;
  };

  // Appends the ids of `word` (well-formed UTF-8, or any bytes when `byte_level`, which maps each byte to its
  // character first). Characters outside the vocabulary follow byte_fallback and unk_token; with neither
  // they vanish, as in the reference. Throws Error(kCorrupt) if unk_token is needed and not in the
  // vocabulary.
  void encode_word(std::string_view word, bool byte_level, Scratch& scratch, std::vector<int32_t>& out) const;

 private:
  friend class BpeMerger;
  void encode_characters(std::string_view word, std::vector<int32_t>& out) const;
  int32_t unknown_id() const;

  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  // The merge of two adjacent tokens, or rank kNoRank.
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;
  Merge find_merge(int32_t left, int32_t right) const {
    const uint64_t* value =
        merges_.find(static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right));
    if (value == nullptr) return {kNoRank, Vocab::kNone};
    return {static_cast<uint32_t>(*value >> 32), static_cast<int32_t>(static_cast<uint32_t>(*value))};
  }

  FlatMap merges_;
  uint32_t merge_count_ = 0;
  bool affixes_ = false;                     // a prefix or suffix is set: characters go through strings
  bool byte_table_full_ = false;             // every byte has its token
  std::array<int32_t, 256> byte_ids_{};      // byte -> token of its alphabet character
  std::array<int32_t, 256> fallback_ids_{};  // byte -> token "<0xNN>"
};

}  // namespace hoist::text
