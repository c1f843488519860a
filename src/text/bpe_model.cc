#include "text/bpe_model.h"

#include <fmt/format.h>

#include "base/error.h"
#include "text/bpe_merger.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace hoist::text {

BpeModel::BpeModel() = default;
BpeModel::~BpeModel() = default;
BpeModel::Scratch::Scratch() : merger(std::make_unique<BpeMerger>()) {}
BpeModel::Scratch::~Scratch() = default;
uint64_t BpeModel::Scratch::lookups() const { return merger->lookups; }

std::string BpeModel::add_merge(std::string_view left, std::string_view right, const uint32_t* rank) {
  const auto missing = [](std::string_view token) {
    return fmt::format("'{}' is not in the vocabulary", token);
  };
  const int32_t left_id = vocab.find(left), right_id = vocab.find(right);
  if (left_id == Vocab::kNone) return missing(left);
  if (right_id == Vocab::kNone) return missing(right);
  if (right.size() < continuing_subword_prefix.size()) {
    return fmt::format("'{}' lacks continuing_subword_prefix '{}'", right, continuing_subword_prefix);
  }
  std::string merged(left);
  merged.append(right.substr(continuing_subword_prefix.size()));
  const int32_t id = vocab.find(merged);
  if (id == Vocab::kNone) return missing(merged);
  const uint64_t key =
      static_cast<uint64_t>(static_cast<uint32_t>(left_id)) << 32 | static_cast<uint32_t>(right_id);
  merges_.insert(key, static_cast<uint64_t>(rank ? *rank : merge_count_) << 32 | static_cast<uint32_t>(id));
  ++merge_count_;
  return {};
}

void BpeModel::finish() {
  affixes_ = !continuing_subword_prefix.empty() || !end_of_word_suffix.empty();
  byte_table_full_ = true;
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    append_char(character, char_of_byte(static_cast<uint8_t>(byte)));
    byte_ids_[static_cast<size_t>(byte)] = vocab.find(character);
    if (byte_ids_[static_cast<size_t>(byte)] == Vocab::kNone) byte_table_full_ = false;
    fallback_ids_[static_cast<size_t>(byte)] = vocab.find(fmt::format("<0x{:02X}>", byte));
  }
}

int32_t BpeModel::unknown_id() const {
  const int32_t id = vocab.find(unk_token);
  if (id == Vocab::kNone) {
    throw_corrupt(
        fmt::format("tokenizer: model.unk_token: '{}' is needed here and not in the vocabulary", unk_token));
  }
  return id;
}

void BpeModel::encode_characters(std::string_view word, std::vector<int32_t>& out) const {
  int32_t pending_unknown = Vocab::kNone;
  std::string with_affixes;
  for (size_t at = 0; at < word.size();) {
    const size_t length = char_length(static_cast<unsigned char>(word[at]));
    std::string_view character = word.substr(at, length);
    if (affixes_) {
      with_affixes.clear();
      if (at > 0) with_affixes = continuing_subword_prefix;
      with_affixes += character;
      if (at + length == word.size()) with_affixes += end_of_word_suffix;
      character = with_affixes;
    }
    at += length;
    const int32_t id = vocab.find(character);
    if (id != Vocab::kNone) {
      if (pending_unknown != Vocab::kNone) out.push_back(pending_unknown);
      pending_unknown = Vocab::kNone;
      out.push_back(id);
      continue;
    }
    if (byte_fallback) {
      bool all = true;
      for (const char byte : character)
        all = all && fallback_ids_[static_cast<unsigned char>(byte)] != Vocab::kNone;
      if (all) {
        // An unknown that waits stays behind these bytes: the reference does so, and ids must agree.
        for (const char byte : character) out.push_back(fallback_ids_[static_cast<unsigned char>(byte)]);
        continue;
      }
    }
    if (!has_unk) continue;
    if (pending_unknown != Vocab::kNone) {
      if (!fuse_unk) out.push_back(pending_unknown);
    } else {
      pending_unknown = unknown_id();
    }
  }
  if (pending_unknown != Vocab::kNone) out.push_back(pending_unknown);
}

void BpeModel::encode_word(std::string_view word, bool byte_level, Scratch& scratch,
                           std::vector<int32_t>& out) const {
  if (word.empty()) return;
  const size_t from = out.size();
  if (byte_level && byte_table_full_ && !affixes_ && !ignore_merges) {
    for (const char byte : word) out.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  } else {
    if (byte_level) {
      scratch.mapped.clear();
      append_byte_alphabet(scratch.mapped, word);
      word = scratch.mapped;
    }
    if (ignore_merges) {
      const int32_t id = vocab.find(word);
      if (id != Vocab::kNone) {
        out.push_back(id);
        return;
      }
    }
    encode_characters(word, out);
  }
  scratch.merger->run(*this, out, from);
}

}  // namespace hoist::text
