#include "text/tokenizer.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer_impl.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

constexpr size_t kMaxText = size_t{1} << 30;

// Remembers where in this call's text a word was seen before and which ids it became. Lives for one encode()
// on one stretch of text, so it needs no lock and copies no strings. One entry per slot; a collision forgets
// the older word.
class WordCache {
 public:
  explicit WordCache(size_t text_size) {
    if (text_size < 512) return;  // too little repeats
    size_t slots = 64;
    while (slots < 32768 && slots * 16 < text_size) slots *= 2;
    slots_.resize(slots);
  }

  // Appends the ids of `text[begin..begin + length)`; `encode` makes them if the word is new.
  template <class Encode>
  void append(std::string_view text, size_t begin, size_t length, std::vector<int32_t>& ids, Encode encode) {
    if (slots_.empty() || length > kLongest) {
      encode();
      return;
    }
    const std::string_view word = text.substr(begin, length);
    Slot& slot = slots_[XXH3_64bits(word.data(), word.size()) & (slots_.size() - 1)];
    if (slot.length == length && text.substr(slot.begin, length) == word) {
      for (size_t i = 0; i < slot.id_count; ++i) ids.push_back(ids[slot.id_begin + i]);
      return;
    }
    const size_t before = ids.size();
    encode();
    slot = {begin, before, static_cast<uint32_t>(length), static_cast<uint32_t>(ids.size() - before)};
  }

 private:
  static constexpr size_t kLongest = 64;
  struct Slot {
    size_t begin = 0, id_begin = 0;
    uint32_t length = 0, id_count = 0;
  };
  std::vector<Slot> slots_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

void Tokenizer::Impl::encode_word(std::string_view word, bool byte_level, Work& work,
                                  std::vector<int32_t>& ids) const {
  if (const auto* bpe = std::get_if<BpeModel>(&model))
    return bpe->encode_word(word, byte_level, work.bpe, ids);
  if (byte_level) {
    work.mapped.clear();
    append_byte_alphabet(work.mapped, word);
    word = work.mapped;
  }
  if (const auto* pieces = std::get_if<WordPieceModel>(&model)) return pieces->encode_word(word, ids);
  std::get<UnigramModel>(model).encode_word(word, work.unigram, ids);
}

void Tokenizer::Impl::encode_normalized(std::string_view text, bool at_origin, Work& work,
                                        std::vector<int32_t>& ids) const {
  if (text.empty()) return;
  Pieces pieces;
  pre_tokenizer.run(text, at_origin, work.budget, pieces);
  WordCache cache(pieces.text.size());
  for (const Pieces::Piece& piece : pieces.pieces) {
    const size_t length = piece.end - piece.begin;
    cache.append(pieces.text, piece.begin, length, ids,
                 [&] { encode_word(pieces.text.substr(piece.begin, length), pieces.byte_level, work, ids); });
  }
}

void Tokenizer::Impl::encode_part(std::string_view part, bool at_origin, Work& work,
                                  std::vector<int32_t>& ids) const {
  std::string normalized;
  if (!normalizer.empty()) {
    normalized = normalizer.run(part, work.budget, at_origin);
    part = normalized;
  }
  if (normalized_matcher.empty()) return encode_normalized(part, at_origin, work, ids);
  std::vector<Segment> segments;
  normalized_matcher.split(part, segments);
  for (const Segment& segment : segments) {
    if (segment.token >= 0) {
      ids.push_back(added[static_cast<size_t>(segment.token)].id);
    } else {
      encode_normalized(part.substr(segment.begin, segment.end - segment.begin),
                        at_origin && segment.begin == 0, work, ids);
    }
  }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  if (text.size() > kMaxText) {
    throw_invalid(fmt::format("text: {} bytes, expected at most {}", text.size(), kMaxText));
  }
  std::string repaired;
  if (!is_utf8(text)) {
    repaired = repair_utf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + impl_->prefix.size() + impl_->suffix.size() + 8);
  if (add_special_tokens) ids = impl_->prefix;
  Impl::Work work{StepBudget::for_text(text.size()), {}, {}, {}};
  std::vector<Segment> segments;
  impl_->raw_matcher.split(text, segments);
  for (const Segment& segment : segments) {
    if (segment.token >= 0) {
      ids.push_back(impl_->added[static_cast<size_t>(segment.token)].id);
    } else {
      impl_->encode_part(text.substr(segment.begin, segment.end - segment.begin), segment.begin == 0, work,
                         ids);
    }
  }
  if (add_special_tokens) ids.insert(ids.end(), impl_->suffix.begin(), impl_->suffix.end());
  return ids;
}

Tokenizer::Joined Tokenizer::join(std::span<const int32_t> first,
                                  std::optional<std::span<const int32_t>> second) const {
  Joined out;
  for (const Impl::TemplatePiece& piece : second ? impl_->pair : impl_->single) {
    if (piece.id == Impl::TemplatePiece::kFirst) {
      out.ids.insert(out.ids.end(), first.begin(), first.end());
    } else if (piece.id == Impl::TemplatePiece::kSecond) {
      out.ids.insert(out.ids.end(), second->begin(), second->end());
    } else {
      out.ids.push_back(piece.id);
    }
    out.types.resize(out.ids.size(), piece.type);
  }
  return out;
}

std::vector<int32_t> Tokenizer::start_of_text() const {
  std::vector<int32_t> ids;
  std::string mark;
  for (const NormalizerStep& step : impl_->normalizer.steps) {
    if (step.kind == NormalizerStep::Kind::kPrepend) mark.insert(0, step.content);
  }
  Impl::Work work{StepBudget::for_text(mark.size()), {}, {}, {}};
  impl_->encode_normalized(mark, true, work, ids);
  return ids;
}

std::optional<std::string_view> Tokenizer::Impl::token_to_decode(int32_t id, bool skip_special) const {
  if (const AddedToken* token = added_token(id)) {
    if (skip_special && token->special) return std::nullopt;
    return added_decoded[added_of_id[static_cast<size_t>(id)] - 1];
  }
  if (!vocab().has(id)) return std::nullopt;
  return vocab().token(id);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  DecoderChain chain(impl_->decoder, impl_->has_decoder);
  std::string out;
  for (const int32_t id : ids) {
    if (const auto token = impl_->token_to_decode(id, skip_special)) chain.feed(*token, out);
  }
  chain.finish(out);
  return out;
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(impl_->added_of_id.size()); }

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (const int32_t index = impl_->added_ids.find(token); index != Vocab::kNone) {
    return impl_->added[static_cast<size_t>(index)].id;
  }
  if (const int32_t id = impl_->vocab().find(token); id != Vocab::kNone) return id;
  return std::nullopt;
}

std::optional<std::string_view> Tokenizer::id_to_token(int32_t id) const {
  if (const AddedToken* token = impl_->added_token(id)) return token->content;
  if (impl_->vocab().has(id)) return impl_->vocab().token(id);
  return std::nullopt;
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = impl_->added_token(id);
  return token != nullptr && token->special;
}

const std::string& Tokenizer::json() const { return impl_->json; }

struct StreamDecoder::State {
  const Tokenizer::Impl& impl;
  bool skip_special;
  DecoderChain chain;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special, bool at_start)
    : state_(new State{*tokenizer.impl_, skip_special,
                       DecoderChain(tokenizer.impl_->decoder, tokenizer.impl_->has_decoder, at_start)}) {}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::feed(int32_t id) {
  std::string out;
  if (const auto token = state_->impl.token_to_decode(id, state_->skip_special))
    state_->chain.feed(*token, out);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out;
  state_->chain.finish(out);
  return out;
}

}  // namespace hoist::text
