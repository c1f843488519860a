// The same ids and the same text as the `tokenizers` package, for one small tokenizer of every kind.
// scripts/make_tokenizer_fixtures.py made the fixtures and compares far more strings.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/json.h"
#include "test_util.h"

namespace hoist::text {
namespace {

using support::Json;

uint32_t hash32(std::string_view bytes) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3ull;
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

uint32_t hash_ids(const std::vector<int32_t>& ids) {
  std::string bytes;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes += static_cast<char>(static_cast<uint32_t>(id) >> shift);
  }
  return hash32(bytes);
}

class Fixtures : public testing::TestWithParam<std::string> {};

TEST_P(Fixtures, IdsAndTextAgreeWithTheReference) {
  const auto tokenizer = Tokenizer::load(fixture_path(GetParam() + ".json"));
  std::istringstream strings(read_file(fixture_path("strings.jsonl")));
  std::istringstream expected(read_file(fixture_path(GetParam() + ".expect")));
  std::string line, row;
  int count = 0, wrong = 0;
  while (std::getline(strings, line) && std::getline(expected, row)) {
    ++count;
    const std::string text = Json::parse(line).get<std::string>();
    std::vector<int32_t> ids = tokenizer->encode(text, true);
    const std::vector<int32_t> forward = ids;
    std::reverse(ids.begin(), ids.end());
    const std::string ours =
        fmt::format("{:08x} {:08x} {:08x}", hash_ids(forward), hash32(tokenizer->decode(forward, false)),
                    hash32(tokenizer->decode(ids, true)));
    if (ours != row && ++wrong <= 5) {
      ADD_FAILURE() << line << "\n  expected " << row << "\n  found    " << ours << "\n  ids "
                    << Json(forward);
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(count, 2000);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Fixtures, testing::ValuesIn(fixture_kinds()),
                         [](const auto& info) { return info.param; });

class Pairs : public testing::TestWithParam<std::string> {};

TEST_P(Pairs, IdsAndTypesOfTwoSequencesAgreeWithTheReference) {
  const auto tokenizer = Tokenizer::load(fixture_path(GetParam() + ".json"));
  std::istringstream strings(read_file(fixture_path("strings.jsonl")));
  std::istringstream expected(read_file(fixture_path(GetParam() + ".pairs")));
  std::string line, row;
  std::vector<int32_t> before;
  int count = -1;
  while (std::getline(strings, line)) {
    std::vector<int32_t> ids = tokenizer->encode(Json::parse(line).get<std::string>(), false);
    const Tokenizer::Joined alone = tokenizer->join(ids);
    EXPECT_EQ(alone.ids, tokenizer->encode(Json::parse(line).get<std::string>(), true));
    EXPECT_EQ(alone.types.size(), alone.ids.size());
    if (++count > 0) {
      if (!std::getline(expected, row)) break;
      const Tokenizer::Joined pair = tokenizer->join(before, ids);
      EXPECT_EQ(fmt::format("{:08x} {:08x}", hash_ids(pair.ids), hash_ids(pair.types)), row) << line;
    }
    before = std::move(ids);
  }
  EXPECT_EQ(count, 201);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Pairs,
                         testing::Values("wordpiece", "wordpiece_cased", "unigram", "unigram_bytes"),
                         [](const auto& info) { return info.param; });

TEST(Stories, PromptIdsAndTextAreTheGoldenOnes) {
  const std::string folder = HOIST_SOURCE_DIR "/../shared/models/stories260K";
  const std::string golden = read_file(folder + "/golden.json");
  if (golden.empty()) GTEST_SKIP() << "needs ../shared/models/stories260K";
  const auto tokenizer = Tokenizer::load(folder);
  EXPECT_EQ(tokenizer->vocab_size(), 512);
  const auto cases = Json::parse(golden)["cases"];
  ASSERT_FALSE(cases.empty());
  for (const auto& item : cases) {
    auto prompt_ids = item["prompt_ids"].get<std::vector<int32_t>>();
    // For no text at all the file has llama2.c's answer, with the prefix token; `tokenizers` and we add none.
    if (item["prompt"] == "") prompt_ids = {1};
    EXPECT_EQ(tokenizer->encode(item["prompt"].get<std::string>()), prompt_ids);
    // The continuation alone: its text follows the prompt's in "text".
    const auto ids = item["greedy_ids"].get<std::vector<int32_t>>();
    StreamDecoder stream(*tokenizer);
    std::string text;
    for (const int32_t id : ids) text += stream.feed(id);
    EXPECT_EQ(text + stream.finish(), tokenizer->decode(ids));
  }
}

}  // namespace
}  // namespace hoist::text
