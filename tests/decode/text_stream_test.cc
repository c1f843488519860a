#include "decode/text_stream.h"

#include <gtest/gtest.h>

#include "text/bpe_trainer.h"

namespace hoist::decode {
namespace {

std::unique_ptr<text::Tokenizer> characters() {
  return text::Tokenizer::from_json(text::make_character_tokenizer("abcdefghijklmnopqrstuvwxyz .!"));
}

std::string stream(const text::Tokenizer& t, const std::string& text, std::vector<std::string> stops,
                   std::vector<std::string>* pieces = nullptr) {
  TextStream s(t, std::move(stops));
  std::string out;
  for (int32_t id : t.encode(text, false)) {
    std::string piece = s.feed(id);
    if (pieces) pieces->push_back(piece);
    out += piece;
    if (s.stopped()) return out;
  }
  return out + s.finish();
}

TEST(TextStream, WithoutStopsGivesTheText) {
  auto t = characters();
  EXPECT_EQ(stream(*t, "hello world.", {}), "hello world.");
}

TEST(TextStream, EndsBeforeTheFirstStop) {
  auto t = characters();
  EXPECT_EQ(stream(*t, "one two three", {"three", "two"}), "one ");
  EXPECT_EQ(stream(*t, "aaab", {"aab"}), "a");
  EXPECT_EQ(stream(*t, "stop", {"stop"}), "");
}

TEST(TextStream, NoPieceShowsAPartOfAStop) {
  auto t = characters();
  std::vector<std::string> pieces;
  EXPECT_EQ(stream(*t, "xx abc abd", {"abd"}, &pieces), "xx abc ");
  std::string shown;
  for (const std::string& p : pieces) {
    shown += p;
    EXPECT_FALSE(shown.ends_with("ab")) << shown;
  }
}

TEST(TextStream, HeldTextComesOutAtTheEnd) {
  auto t = characters();
  EXPECT_EQ(stream(*t, "text ab", {"abc"}), "text ab");
}

TEST(TextStream, StopsWaitForTheLeastLength) {
  auto t = characters();
  TextStream s(*t, std::vector<std::string>{"ab"});
  std::string out;
  int fed = 0;
  for (int32_t id : t->encode("abxabab", false)) {
    out += s.feed(id, ++fed > 4);
    if (s.stopped()) break;
  }
  EXPECT_EQ(out, "abxab") << "text that was given out begins no stop string";
  EXPECT_TRUE(s.stopped());
  EXPECT_EQ(fed, 7);
}

}  // namespace
}  // namespace hoist::decode
