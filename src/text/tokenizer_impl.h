// The parts of a loaded tokenizer. Internal to tokenizer.cc and tokenizer_load.cc.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/regex.h"
#include "text/tokenizer.h"
#include "text/unigram_model.h"
#include "text/wordpiece_model.h"

namespace hoist::text {

// What turns words into ids.
using WordModel = std::variant<BpeModel, WordPieceModel, UnigramModel>;

struct Tokenizer::Impl {
  std::string json;
  WordModel model;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::vector<int32_t> prefix, suffix;  // what the post-processor puts around the text
  // The post-processor's order of tokens and sequences, with token types: one sequence, and two.
  struct TemplatePiece {
    static constexpr int32_t kFirst = -1, kSecond = -2;
    int32_t id;  // of a special token, or which sequence
    int32_t type;
  };
  std::vector<TemplatePiece> single = {{TemplatePiece::kFirst, 0}};
  std::vector<TemplatePiece> pair = {{TemplatePiece::kFirst, 0}, {TemplatePiece::kSecond, 1}};
  bool has_decoder = false;
  std::vector<DecoderStep> decoder;

  // Added tokens. `added_of_id` holds index + 1 for ids below vocab_size(), 0 for tokens of the model alone.
  std::vector<AddedToken> added;
  std::vector<std::string> added_decoded;  // the form the decoder gets: normalised where matching is
  std::vector<uint32_t> added_of_id;
  Vocab added_ids;  // content -> index into `added`
  AddedTokenMatcher raw_matcher, normalized_matcher;

  const Vocab& vocab() const {
    return std::visit([](const auto& m) -> const Vocab& { return m.vocab; }, model);
  }
  const AddedToken* added_token(int32_t id) const {
    const bool known =
        id >= 0 && static_cast<size_t>(id) < added_of_id.size() && added_of_id[static_cast<size_t>(id)];
    return known ? &added[added_of_id[static_cast<size_t>(id)] - 1] : nullptr;
  }
  // The token the decoder gets for `id`; no value when there is none or it is to be skipped.
  std::optional<std::string_view> token_to_decode(int32_t id, bool skip_special) const;

  // What one encode() call works with.
  struct Work {
    StepBudget budget;
    BpeModel::Scratch bpe;
    UnigramModel::Scratch unigram;
    std::string mapped;
  };

  // Appends the ids of text between raw added tokens.
  void encode_part(std::string_view part, bool at_origin, Work& work, std::vector<int32_t>& ids) const;
  // Appends the ids of one word.
  void encode_word(std::string_view word, bool byte_level, Work& work, std::vector<int32_t>& ids) const;
  // Appends the ids of normalised text between added tokens.
  void encode_normalized(std::string_view text, bool at_origin, Work& work, std::vector<int32_t>& ids) const;
};

}  // namespace hoist::text
