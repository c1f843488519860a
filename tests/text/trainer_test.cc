// The trainers against a naive trainer, and their files read back.
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "support/json.h"
#include "test_util.h"
#include "text/bpe_trainer.h"
#include "text/byte_alphabet.h"
#include "text/pattern.h"
#include "text/regex.h"

namespace hoist::text {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;

// Counts every pair anew for each merge.
Merges naive_merges(const std::string& document, int32_t vocab_size) {
  std::map<std::string, int> id_of;
  for (uint32_t c = 0; c < 512; ++c) {
    std::string token;
    append_char(token, c);
    if (byte_of_char(c) >= 0) id_of.emplace(token, static_cast<int>(id_of.size()));
  }
  std::vector<std::vector<std::string>> words;
  std::vector<Span> spans;
  StepBudget budget = StepBudget::for_text(document.size());
  Pattern::regex(kGpt2Regex, "test").find(document, budget, spans);
  for (const Span& span : spans) {
    words.emplace_back();
    for (const char byte : document.substr(span.begin, span.end - span.begin)) {
      words.back().emplace_back();
      append_byte_alphabet(words.back().back(), {&byte, 1});
    }
  }
  Merges merges;
  while (static_cast<int32_t>(id_of.size()) < vocab_size) {
    std::map<std::pair<int, int>, int> counts;
    std::map<int, std::string> token_of;
    for (const auto& [token, id] : id_of) token_of[id] = token;
    for (const auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) ++counts[{id_of.at(word[i]), id_of.at(word[i + 1])}];
    }
    std::pair<int, int> best;
    int most = 1;
    for (const auto& [pair, count] : counts) {
      if (count > most) {
        best = pair;
        most = count;
      }
    }
    if (most < 2) break;
    const std::string left = token_of[best.first], right = token_of[best.second];
    merges.emplace_back(left, right);
    id_of.emplace(left + right, static_cast<int>(id_of.size()));
    for (auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        if (word[i] != left || word[i + 1] != right) continue;
        word[i] += word[i + 1];
        word.erase(word.begin() + static_cast<ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(BpeTrainer, LearnsTheMergesOfANaiveTrainer) {
  std::mt19937_64 rng(21);
  for (int round = 0; round < 30; ++round) {
    std::string document;
    for (int i = 0; i < 120; ++i) {
      if (rng() % 3) document += ' ';
      std::string word(rng() % 7, 'a');
      for (char& c : word) c = static_cast<char>('a' + rng() % 3);
      document += word;
    }
    document += random_text(rng, 20);
    BpeTrainerOptions options;
    options.vocab_size = 310;
    options.special_tokens = {};
    const auto file = support::Json::parse(train_bpe({&document, 1}, options));
    ASSERT_EQ(file["model"]["merges"].get<Merges>(), naive_merges(document, 310)) << document;
  }
}

TEST(BpeTrainer, ItsFileLoadsAndIsDeterministic) {
  const std::vector<std::string> documents = {
      read_file(std::string(HOIST_SOURCE_DIR) + "/src/text/bpe_trainer.cc"), "the \xFF end", ""};
  BpeTrainerOptions options;
  options.vocab_size = 600;
  int32_t last_done = -1, last_wanted = 0;
  options.progress = [&](int32_t done, int32_t wanted) { last_done = done, last_wanted = wanted; };
  const std::string json = train_bpe(documents, options);
  EXPECT_EQ(last_done, 600 - 257);
  EXPECT_EQ(last_wanted, 600 - 257);
  EXPECT_EQ(train_bpe(documents, options), json);
  const auto tokenizer = Tokenizer::from_json(json);
  EXPECT_EQ(tokenizer->vocab_size(), 600);
  EXPECT_EQ(tokenizer->token_to_id("<|endoftext|>"), 0);
  EXPECT_TRUE(tokenizer->is_special(0));
  EXPECT_EQ(tokenizer->json(), json);
  const auto ids = tokenizer->encode(documents[0] + "<|endoftext|>");
  EXPECT_LT(ids.size() * 2, documents[0].size());
  EXPECT_EQ(ids.back(), 0);
  EXPECT_EQ(tokenizer->decode(ids), documents[0]);
}

TEST(BpeTrainer, TextNeverBecomesASpecialToken) {
  std::string document;
  for (int i = 0; i < 50; ++i) document += "the then the ";
  BpeTrainerOptions options;
  options.vocab_size = 280;
  options.special_tokens = {"the", "<|end|>"};
  const auto tokenizer = Tokenizer::from_json(train_bpe({&document, 1}, options));
  const auto file = support::Json::parse(tokenizer->json());
  ASSERT_FALSE(file["model"]["merges"].empty());
  for (const auto& merge : file["model"]["merges"]) {
    EXPECT_NE(merge[0].get<std::string>() + merge[1].get<std::string>(), "the");
  }
}

TEST(BpeTrainer, RefusesWhatCannotBe) {
  BpeTrainerOptions options;
  options.vocab_size = 256;
  EXPECT_THROW(BpeTrainer{options}, Error);
  options.vocab_size = 300;
  options.special_tokens = {"a"};
  EXPECT_THROW(BpeTrainer{options}, Error);
  options.special_tokens = {"xx", "xx"};
  EXPECT_THROW(BpeTrainer{options}, Error);
}

TEST(CharacterTokenizer, HasOneTokenPerCharacter) {
  const std::string text = "héllo wörld\n\"\\ \u4E2D";
  const auto tokenizer = Tokenizer::from_json(make_character_tokenizer(text));
  EXPECT_EQ(tokenizer->token_to_id("\n"), 0);
  EXPECT_EQ(tokenizer->token_to_id(" "), 1);
  EXPECT_EQ(tokenizer->encode("h\u4E2Dz").size(), 2u) << "z is not in the text";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_THROW(make_character_tokenizer(""), Error);
}

// What transformers' Qwen2 class makes of a folder: NFC, and every digit a word of its own.
TEST(BpeTrainer, Qwen2CutsDigitsApartAndComposes) {
  BpeTrainerOptions options;
  options.split = BpeSplit::kQwen2;
  options.vocab_size = 300;
  const std::string text = "for 1234 and 1234 and 1234, e\u0301t\u00e9";
  auto tokenizer = Tokenizer::from_json(train_bpe(std::vector<std::string>(20, text), options));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), "for 1234 and 1234 and 1234, \u00e9t\u00e9");
  EXPECT_EQ(tokenizer->encode("1234").size(), 4u);
  EXPECT_FALSE(tokenizer->token_to_id("\u01201")) << "a space never joins a digit";
}

}  // namespace
}  // namespace hoist::text
