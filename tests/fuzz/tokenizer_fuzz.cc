// Fuzzes tokenizer.json together with text: the input is the file, a zero byte, and the text to encode.
//
// Whatever the bytes are, loading either throws hoist::Error or gives a tokenizer whose encode, decode and
// streamed decode finish (or throw Error); streamed and batch decoding agree. An input without a zero byte
// that is no tokenizer is encoded as text by a fixed byte-level tokenizer instead, where decoding must give
// back the text.
// Links: text
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/bpe_trainer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using hoist::text::StreamDecoder;
using hoist::text::Tokenizer;

void exercise(const Tokenizer& tokenizer, std::string_view text, bool exact) {
  const std::vector<int32_t> ids = tokenizer.encode(text, true);
  for (const int32_t id : ids) {
    if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
  }
  const std::vector<int32_t> plain = tokenizer.encode(text, false);
  const Tokenizer::Joined alone = tokenizer.join(plain), pair = tokenizer.join(plain, plain);
  if (alone.ids != ids || alone.types.size() != ids.size()) std::abort();
  if (pair.types.size() != pair.ids.size() || pair.ids.size() < 2 * plain.size()) std::abort();
  for (const bool skip : {false, true}) {
    const std::string batch = tokenizer.decode(ids, skip);
    StreamDecoder stream(tokenizer, skip);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.feed(id);
    streamed += stream.finish();
    if (streamed != batch) std::abort();
    if (exact && batch != hoist::text::repair_utf8(text)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view text = zero == std::string_view::npos ? input : input.substr(zero + 1);
  try {
    const auto tokenizer = Tokenizer::from_json(std::string(input.substr(0, zero)));
    exercise(*tokenizer, text, false);
  } catch (const hoist::Error&) {
  }
  static const std::unique_ptr<Tokenizer> fixed = [] {
    hoist::text::BpeTrainerOptions options;
    options.vocab_size = 300;
    options.special_tokens = {};
    const std::string document =
        "for (int i = 0; i < 10; ++i) { std::string s = text[i]; } the the then there aaaa bbbb";
    return Tokenizer::from_json(hoist::text::train_bpe({&document, 1}, options));
  }();
  exercise(*fixed, text, true);
  return 0;
}
