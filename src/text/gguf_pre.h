// The pre-tokenizers that tokenizer.ggml.pre names, as regular expressions applied one after the other, each
// isolating its matches. Private to text/gguf_*.cc.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace hoist::text {

struct GgufPre {
  std::vector<std::string_view> names;  // the first is the one we write
  std::vector<std::string_view> splits;
  bool nfc = false;            // the models of this name normalize to NFC first
  bool ignore_merges = false;  // a word that is a token stays whole
  bool add_bos = false;        // unless the file says otherwise
};
std::span<const GgufPre> gguf_pres();
const GgufPre* find_gguf_pre(std::string_view name);  // null when unknown

}  // namespace hoist::text
