#include "text/wordpiece_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace hoist::text {

void WordPieceModel::finish() {
  for (int32_t id = 0; id < vocab.id_end(); ++id)
    if (vocab.has(id)) trie_.add(vocab.token(id), id);
  inside_ = trie_.walk(TokenTrie::kRoot, continuing_subword_prefix);
}

int32_t WordPieceModel::unknown_id() const {
  const int32_t id = vocab.find(unk_token);
  if (id == Vocab::kNone) {
    throw_corrupt(
        fmt::format("tokenizer: model.unk_token: '{}' is needed here and not in the vocabulary", unk_token));
  }
  return id;
}

void WordPieceModel::encode_word(std::string_view word, std::vector<int32_t>& out) const {
  const auto characters = static_cast<uint64_t>(
      std::count_if(word.begin(), word.end(), [](char c) { return !is_continuation(c); }));
  if (characters > max_input_chars) return out.push_back(unknown_id());
  const size_t before = out.size();
  for (size_t begin = 0; begin < word.size();) {
    // Tokens are whole characters, so a match never ends inside one.
    uint32_t node = begin == 0 ? TokenTrie::kRoot : inside_;
    int32_t best = -1;
    size_t best_end = begin;
    for (size_t at = begin; at < word.size() && node != TokenTrie::kNowhere;) {
      node = trie_.step(node, word[at++]);
      if (node != TokenTrie::kNowhere && trie_.id(node) >= 0) {
        best = trie_.id(node);
        best_end = at;
      }
    }
    if (best < 0) {
      out.resize(before);
      return out.push_back(unknown_id());
    }
    out.push_back(best);
    begin = best_end;
  }
}

}  // namespace hoist::text
