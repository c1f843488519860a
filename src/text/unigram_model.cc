#include "text/unigram_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {
constexpr double kUnknownPenalty = 10;
}  // namespace

void UnigramModel::finish() {
  double lowest = std::numeric_limits<double>::infinity();
  for (int32_t id = 0; id < vocab.id_end(); ++id) {
    if (!vocab.has(id)) continue;
    if (!vocab.token(id).empty()) trie_.add(vocab.token(id), id);
    lowest = std::min(lowest, scores[static_cast<size_t>(id)]);
  }
  unknown_score_ = lowest - kUnknownPenalty;
  for (size_t byte = 0; byte < 256; ++byte) byte_ids_[byte] = vocab.find(fmt::format("<0x{:02X}>", byte));
}

int32_t UnigramModel::unknown_id() const {
  if (unk_id < 0) throw_corrupt("tokenizer: model.unk_id: is needed here and not given");
  return unk_id;
}

void UnigramModel::append_piece(std::string_view piece, std::vector<int32_t>& out) const {
  if (const int32_t id = vocab.find(piece); id != Vocab::kNone) return out.push_back(id);
  const auto has_token = [&](char byte) {
    return byte_ids_[static_cast<unsigned char>(byte)] != Vocab::kNone;
  };
  if (byte_fallback && std::all_of(piece.begin(), piece.end(), has_token)) {
    for (const char byte : piece) out.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  } else {
    out.push_back(unknown_id());
  }
}

void UnigramModel::encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const {
  if (word.empty()) return;
  if (word.size() > kLongestWord) {
    throw Error(ErrorCode::kResourceExhausted,
                fmt::format("tokenizer: a word of {} bytes, expected at most {}", word.size(), kLongestWord));
  }
  std::vector<Scratch::Node>& nodes = scratch.nodes;
  nodes.assign(word.size() + 1, {});
  const auto offer = [&](size_t begin, size_t end, int32_t id, double score) {
    Scratch::Node& node = nodes[end];
    if (node.begin == Scratch::kUnreached || score > node.score)
      node = {score, id, static_cast<uint32_t>(begin)};
  };
  for (size_t begin = 0; begin < word.size();) {
    const double so_far = nodes[begin].score;
    const size_t next = begin + char_length(static_cast<unsigned char>(word[begin]));
    bool alone = false;
    uint32_t at = TokenTrie::kRoot;
    for (size_t end = begin; end < word.size();) {
      at = trie_.step(at, word[end++]);
      if (at == TokenTrie::kNowhere) break;
      const int32_t id = trie_.id(at);
      if (id < 0) continue;
      offer(begin, end, id, scores[static_cast<size_t>(id)] + so_far);
      alone |= end == next;
    }
    if (!alone) offer(begin, next, unknown_id(), unknown_score_ + so_far);
    begin = next;
  }
  std::vector<Scratch::Piece>& pieces = scratch.pieces;
  pieces.clear();
  for (auto end = static_cast<uint32_t>(word.size()); end > 0;) {
    const Scratch::Node& node = nodes[end];
    const bool unknown = unk_id >= 0 && node.id == unk_id;
    if (unknown && !pieces.empty() && pieces.back().unknown) {
      pieces.back().begin = node.begin;
    } else {
      pieces.push_back({node.begin, end, unknown});
    }
    end = node.begin;
  }
  for (size_t i = pieces.size(); i-- > 0;)
    append_piece(word.substr(pieces[i].begin, pieces[i].end - pieces[i].begin), out);
}

}  // namespace hoist::text
