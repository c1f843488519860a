// What holds for every tokenizer and every text.
#include <gtest/gtest.h>

#include "test_util.h"
#include "text/bpe_trainer.h"

namespace hoist::text {
namespace {

class AnyTokenizer : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = Tokenizer::load(fixture_path(GetParam() + ".json"));
};

std::string stream_all(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip) {
  StreamDecoder stream(tokenizer, skip);
  std::string text;
  for (const int32_t id : ids) {
    const std::string piece = stream.feed(id);
    EXPECT_TRUE(is_utf8(piece)) << "a piece cuts a character";
    text += piece;
  }
  return text + stream.finish();
}

TEST_P(AnyTokenizer, StreamedTextEqualsBatchText) {
  std::mt19937_64 rng(1);
  for (int round = 0; round < 400; ++round) {
    std::vector<int32_t> ids;
    if (round % 2 == 0) {
      ids = tokenizer_->encode(random_text(rng, 12), true);
    } else {  // ids in any order, some without a token
      ids.resize(rng() % 30);
      for (int32_t& id : ids)
        id = static_cast<int32_t>(rng() % static_cast<uint64_t>(tokenizer_->vocab_size() + 2)) - 1;
    }
    for (const bool skip : {false, true}) {
      ASSERT_EQ(stream_all(*tokenizer_, ids, skip), tokenizer_->decode(ids, skip));
    }
  }
}

TEST_P(AnyTokenizer, IdsAreKnownAndEncodingIsRepeatable) {
  std::mt19937_64 rng(2);
  for (int round = 0; round < 200; ++round) {
    const std::string text = round % 2 ? random_text(rng, 12) : random_bytes(rng, 200);
    const auto ids = tokenizer_->encode(text, false);
    for (const int32_t id : ids) ASSERT_TRUE(tokenizer_->id_to_token(id).has_value());
    ASSERT_EQ(ids, tokenizer_->encode(text, false));
    ASSERT_EQ(ids, tokenizer_->encode(repair_utf8(text), false))
        << "ill-formed input is repaired, nothing else";
  }
}

TEST_P(AnyTokenizer, NamesAndIdsAreInverse) {
  for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    const auto token = tokenizer_->id_to_token(id);
    ASSERT_TRUE(token.has_value());
    ASSERT_EQ(tokenizer_->token_to_id(*token), id);
  }
  EXPECT_FALSE(tokenizer_->id_to_token(-1));
  EXPECT_FALSE(tokenizer_->id_to_token(tokenizer_->vocab_size()));
  EXPECT_FALSE(tokenizer_->token_to_id("no such token"));
  EXPECT_FALSE(tokenizer_->is_special(-5));
}

TEST_P(AnyTokenizer, ReloadingItsJsonGivesTheSameIds) {
  const auto again = Tokenizer::from_json(tokenizer_->json());
  std::mt19937_64 rng(4);
  for (int round = 0; round < 50; ++round) {
    const std::string text = random_text(rng, 20);
    ASSERT_EQ(again->encode(text), tokenizer_->encode(text));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, AnyTokenizer, testing::ValuesIn(fixture_kinds()),
                         [](const auto& info) { return info.param; });

// The word cache works within one call; it must not show.
TEST(WordCache, RepeatedTextRepeatsItsIds) {
  const auto tokenizer = Tokenizer::load(fixture_path("gpt2.json"));
  std::mt19937_64 rng(3);
  for (int round = 0; round < 20; ++round) {
    std::string line = "x";
    for (int i = 0; i < 40; ++i) line += " word" + std::to_string(rng() % 50);
    line += '\n';
    const auto once = tokenizer->encode("\n" + line, false);
    std::string text = "\n" + line;
    for (int i = 0; i < 9; ++i) text += line;
    const auto many = tokenizer->encode(text, false);
    const auto alone = tokenizer->encode("\n", false);
    ASSERT_EQ(many.size(), alone.size() + 10 * (once.size() - alone.size()));
    ASSERT_TRUE(std::equal(once.begin(), once.end(), many.begin()));
  }
}

// Byte-level tokenizers without normalizers lose nothing; SentencePiece style ones lose nothing but unknown
// bytes.
TEST(RoundTrip, TextComesBackExactly) {
  std::mt19937_64 rng(5);
  for (const std::string kind : {"gpt2", "llama3", "o200k", "three_splits", "sp_prepend"}) {
    const auto tokenizer = Tokenizer::load(fixture_path(kind + ".json"));
    for (int round = 0; round < 500; ++round) {
      std::string text = round % 2 ? random_text(rng, 20) : random_bytes(rng, 300);
      // There U+2581 stands for a space, and a special token gets a space behind it.
      if (kind == "sp_prepend" &&
          (text.find("\u2581") != std::string::npos || text.find("<s>") != std::string::npos))
        continue;
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text, false), false), repair_utf8(text)) << kind;
    }
  }
}

// Where the cut falls between two words that the pattern always separates, encoding the halves is encoding
// the whole.
TEST(Splits, CuttingAtLineStartsChangesNothing) {
  std::mt19937_64 rng(6);
  const auto tokenizer = Tokenizer::load(fixture_path("llama3.json"));
  for (int round = 0; round < 200; ++round) {
    const std::string left = random_text(rng, 8) + "x\n", right = "y" + random_text(rng, 8);
    auto ids = tokenizer->encode(left, false);
    const auto more = tokenizer->encode(right, false);
    ids.insert(ids.end(), more.begin(), more.end());
    ASSERT_EQ(tokenizer->encode(left + right, false), ids);
  }
}

TEST(Stream, HoldsBackOnlyWhatMayChange) {
  const auto gpt2 = Tokenizer::load(fixture_path("gpt2.json"));
  StreamDecoder stream(*gpt2);
  const auto ids = gpt2->encode("a\U0001F9FF", false);
  ASSERT_GE(ids.size(), 3u);  // the emoji is several tokens
  EXPECT_EQ(stream.feed(ids[0]), "a");
  for (size_t i = 1; i + 1 < ids.size(); ++i) EXPECT_EQ(stream.feed(ids[i]), "");
  EXPECT_EQ(stream.feed(ids.back()), "\U0001F9FF");
  EXPECT_EQ(stream.feed(ids[1]), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");

  const auto sentencepiece = Tokenizer::load(fixture_path("sp_prepend.json"));
  StreamDecoder pieces(*sentencepiece);
  std::string text;
  for (const int32_t id : sentencepiece->encode("Once upon", false)) {
    const std::string piece = pieces.feed(id);
    // Plain tokens wait for nothing; only the leading space vanishes.
    EXPECT_EQ(piece.empty(), sentencepiece->id_to_token(id) == "\u2581" && text.empty());
    text += piece;
  }
  EXPECT_EQ(text, "Once upon");
}

}  // namespace
}  // namespace hoist::text
