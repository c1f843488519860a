// A tokenizer.json whose merges may share ranks. Internal to tokenizer_load.cc and gguf_vocab.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace hoist::text {

// Like Tokenizer::from_json, but merge i has rank (*ranks)[i], which is at most i; null: i. Of merges with
// one rank the leftmost in the text goes first.
std::unique_ptr<Tokenizer> tokenizer_from_ranked_json(std::string json, const std::string& name,
                                                      const std::vector<uint32_t>* ranks);

}  // namespace hoist::text
