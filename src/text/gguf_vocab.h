// The vocabulary of a GGUF file: what its tokenizer.ggml.* keys hold, as a plain struct, made into a
// Tokenizer and made from one.
//
// Kinds: "gpt2" (byte-level BPE with a merge list; `pre` names the pre-tokenizer, which the file does not
// hold) and "llama" (SentencePiece BPE: no merge list; of all neighbours whose joint text is a token the
// highest score merges first, the leftmost of equals). Others are refused by name, and so is an unknown
// `pre`. The Tokenizer gives the ids of the tokenizer.json the file was made from, and its json() is such a
// file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace hoist::text {

struct GgufVocab {
  enum TokenType : int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

  std::string model;                // tokenizer.ggml.model
  std::string pre;                  // tokenizer.ggml.pre; empty: "default"
  std::vector<std::string> tokens;  // by id
  std::vector<float> scores;        // empty, or one for each token
  std::vector<int32_t> types;       // empty (all normal), or one for each token
  std::vector<std::string> merges;  // "left right"
  std::optional<int32_t> bos_id, eos_id, unknown_id;
  std::optional<bool> add_bos, add_eos, add_space_prefix;  // absent: as the kind and `pre` have it
};

// `source` (the file) leads every message. Throws kCorrupt or kUnsupported.
std::unique_ptr<Tokenizer> tokenizer_from_gguf(const GgufVocab& vocab, const std::string& source);

struct GgufVocabExport {
  GgufVocab vocab;
  std::string note;  // what the format cannot say exactly; empty when it says all
};
// The other way, with `rows` tokens: ids without a token become unused ones. The ids bos and eos (-1: none)
// are the model's. Throws kUnsupported naming the part of tokenizer.json that GGUF has no words for.
GgufVocabExport gguf_from_tokenizer(const Tokenizer& tokenizer, int64_t rows, int64_t bos, int64_t eos,
                                    const std::string& source);

}  // namespace hoist::text
