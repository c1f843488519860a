// Tokenizers in the Hugging Face format (tokenizer.json) with a BPE model: text to token ids and back.
//
// Entry points: Tokenizer::load, encode, decode; StreamDecoder for text that arrives token by token. Promises
// the same ids as the `tokenizers` package, in time linear in the text (n log n at worst) and constant stack,
// on any input. What is not supported is refused by name when the file is loaded.
//
// Text is UTF-8. Ill-formed input is repaired first: each maximal ill-formed part becomes U+FFFD. For
// byte-level tokenizers without normalizers, decode(encode(text)) gives well-formed text back exactly.
//
// `truncation` and `padding` in the file are ignored, as `transformers` does unless asked: callers set
// lengths.
//
// A Tokenizer is immutable; any number of threads may use one. A StreamDecoder belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text {

class Tokenizer {
 public:
  // Reads a tokenizer.json, or the one in a folder. Throws Error.
  static std::unique_ptr<Tokenizer> load(const std::string& path);
  // `name` leads error messages.
  static std::unique_ptr<Tokenizer> from_json(std::string json, std::string_view name = "tokenizer.json");
  ~Tokenizer();

  // `add_special_tokens` applies the file's post-processor (a beginning-of-text token, usually). Special
  // tokens written in the text become their ids either way. Throws Error(kInvalidArgument) for more than 1
  // GiB of text.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens = true) const;

  // One sequence, or two, with the special tokens the post-processor puts around them, and each token's type
  // (0 or 1, where files are sane: which sequence it belongs to). Both sequences are of encode(.., false).
  struct Joined {
    std::vector<int32_t> ids, types;
  };
  Joined join(std::span<const int32_t> first,
              std::optional<std::span<const int32_t>> second = std::nullopt) const;

  // The mark that a model of the SentencePiece kind expects before any text (its Prepend normalizer's), as
  // ids; none for other tokenizers. `encode("")` does not give it, as the `tokenizers` package does not:
  // whoever asks a model to begin from nothing adds it.
  std::vector<int32_t> start_of_text() const;

  // Ids without a token are skipped: models often have more rows than the tokenizer has tokens.
  std::string decode(std::span<const int32_t> ids, bool skip_special = true) const;

  // One more than the largest id; there may be holes.
  int32_t vocab_size() const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  // The token as the file spells it (byte-level tokens in the byte alphabet).
  std::optional<std::string_view> id_to_token(int32_t id) const;
  bool is_special(int32_t id) const;
  // What the token writes in the middle of a text: for grammars, and to show it alone. May be part of a
  // character. Empty for special tokens and ids without a token.
  std::string bytes_of(int32_t id) const;

  // The file as it was read, for a checkpoint to keep beside its weights.
  const std::string& json() const;

 private:
  friend class StreamDecoder;
  friend class TokenizerLoader;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Decodes one token at a time. All that feed() and finish() return, joined, equals decode() of all ids (with
// at_start).
class StreamDecoder {
 public:
  // `tokenizer` must outlive this. `at_start`: the first token begins the text, so that the space some
  // tokenizers write before it is left out; otherwise other text came before.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true, bool at_start = true);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;

  // The text that is certain now: whole characters, possibly none.
  std::string feed(int32_t id);
  // The rest. Call once; feed nothing after it.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hoist::text
