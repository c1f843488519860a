// What config.json says about an encoder of the BERT kind, and what a sentence-transformers folder says about
// pooling; as plain structs.
//
// Entry points: is_encoder_folder, load_encoder_config, load_pooling_config. Every number is checked before
// anything is sized by it; a key that would change the arithmetic in a way we do not compute is refused by
// name. Source of names and defaults: Hugging Face transformers' configuration classes;
// sentence-transformers' modules.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/model_config.h"

namespace hoist::io {

enum class EncoderFamily : uint8_t { kBert, kRoberta, kDistilBert };

struct EncoderConfig {
  EncoderFamily family = EncoderFamily::kBert;
  std::string model_type = "bert";  // the file's own word: "bert", "roberta", "xlm-roberta", ...
  int64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0, heads = 0;
  int64_t head_dim() const { return hidden / heads; }
  int64_t positions = 0;       // rows of the table of positions
  int64_t first_position = 0;  // row of the first token: RoBERTa counts from pad_token_id + 1
  int64_t types = 0;           // rows of the table of token types; 0: none
  int64_t max_tokens() const { return positions - first_position; }
  double norm_eps = 1e-12;
  Activation activation = Activation::kGelu;
  bool classifies = false;          // has a sequence classification head
  std::vector<std::string> labels;  // of that head, by index
  bool matryoshka = false;          // trained so that a vector's first elements are a vector, too
  std::optional<DType> dtype;       // of the stored weights, where the file says
};

// Whether the folder's config.json names an encoder that we serve (false when there is none, or it cannot be
// read).
bool is_encoder_folder(const std::string& folder);

// Throws kInvalidArgument (a value), kUnsupported (a feature, by name) or kCorrupt (not JSON).
EncoderConfig parse_encoder_config(std::string_view json, const std::string& source);
EncoderConfig load_encoder_config(const std::string& folder);

enum class Pooling : uint8_t { kCls, kMean, kMax };

struct PoolingConfig {
  Pooling pooling = Pooling::kMean;
  bool normalize = false;             // to unit length
  std::optional<int64_t> max_tokens;  // sentence_bert_config.json's max_seq_length
  std::string folder;                 // that says so; empty: nothing does, and these are defaults
};

// From modules.json and what it names. Throws kUnsupported for modules and poolings we do not compute.
PoolingConfig load_pooling_config(const std::string& folder);
PoolingConfig parse_pooling(std::string_view json, const std::string& source);  // 1_Pooling/config.json

}  // namespace hoist::io
