// Vocabularies of GGUF files: the ids of the tokenizer.json they came from, and of the sentencepiece library.
#include "text/gguf_vocab.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
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

std::vector<std::string> strings() {
  std::vector<std::string> out;
  std::istringstream in(read_file(fixture_path("strings.jsonl")));
  for (std::string line; std::getline(in, line);) out.push_back(Json::parse(line).get<std::string>());
  return out;
}

GgufVocab sentencepiece_vocab() {
  const auto file =
      Json::parse(read_file(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/gguf/sentencepiece.json"));
  GgufVocab v;
  v.model = "llama";
  v.tokens = file["tokens"].get<std::vector<std::string>>();
  v.scores = file["scores"].get<std::vector<float>>();
  v.types = file["types"].get<std::vector<int32_t>>();
  v.add_bos = false;
  return v;
}

// Through GGUF and back: the same ids and text for every string.
void expect_same(const Tokenizer& ours, const GgufVocab& vocab, const std::vector<std::string>& texts) {
  const auto back = tokenizer_from_gguf(vocab, "x.gguf");
  EXPECT_EQ(back->vocab_size(), ours.vocab_size());
  int wrong = 0;
  for (const std::string& text : texts)
    for (bool special : {false, true}) {
      const std::vector<int32_t> ids = ours.encode(text, special);
      if (back->encode(text, special) != ids && ++wrong < 4)
        ADD_FAILURE() << text << "\n " << Json(ids) << "\n " << Json(back->encode(text, special));
      if (back->decode(ids, special) != ours.decode(ids, special) && ++wrong < 4)
        ADD_FAILURE() << "decode " << text;
    }
  EXPECT_EQ(wrong, 0);
  // The file it keeps is a tokenizer.json with the same ids.
  const auto again = Tokenizer::from_json(back->json());
  for (size_t i = 0; i < texts.size(); i += 7) EXPECT_EQ(again->encode(texts[i]), ours.encode(texts[i]));
}

class ByteLevel : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ByteLevel, IdsSurviveTheFormat) {
  const auto [kind, pre] = GetParam();
  const auto ours = Tokenizer::load(fixture_path(std::string(kind) + ".json"));
  const GgufVocabExport out = gguf_from_tokenizer(*ours, ours->vocab_size(), -1, -1, "tokenizer.json");
  EXPECT_EQ(out.vocab.model, "gpt2");
  EXPECT_EQ(out.vocab.pre, pre);
  EXPECT_EQ(out.note, "");
  std::vector<std::string> texts = strings();
  std::mt19937_64 rng(7);
  for (int i = 0; i < 500; ++i) texts.push_back(random_text(rng, 30));
  expect_same(*ours, out.vocab, texts);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ByteLevel,
                         testing::Values(std::pair("gpt2", "gpt-2"), std::pair("llama3", "llama-bpe"),
                                         std::pair("qwen2", "qwen2"), std::pair("o200k", "gpt-4o")),
                         [](const auto& info) { return std::string(info.param.first); });

TEST(GgufVocab, EveryPreTokenizerWeNameIsOneWeHave) {
  // The same vocabulary cut in every way: each encodes, and text comes back whole.
  const auto ours = Tokenizer::load(fixture_path("gpt2.json"));
  GgufVocab vocab = gguf_from_tokenizer(*ours, ours->vocab_size(), -1, -1, "tokenizer.json").vocab;
  const std::string text =
      "Hello  world's 12345 don't\n\n  x_y\t\u4E2D\u6587\u3042!? $5 caf\u00E9 \U0001F600";
  for (const char* pre :
       {"gpt-2", "default", "", "llama-bpe", "llama3", "smaug-bpe", "qwen2", "deepseek-r1-qwen", "smollm",
        "starcoder", "tekken", "gpt-4o", "deepseek-v3", "deepseek-coder", "deepseek-llm"}) {
    vocab.pre = pre;
    const auto tokenizer = tokenizer_from_gguf(vocab, "x.gguf");
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << pre;
  }
  vocab.pre = "no-such-cut";
  try {
    tokenizer_from_gguf(vocab, "x.gguf");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(e.what()).find("x.gguf: tokenizer.ggml.pre: found 'no-such-cut'"),
              std::string::npos)
        << e.what();
  }
}

TEST(GgufVocab, SentencePieceIdsAndTextAreTheLibrarys) {
  const auto tokenizer = tokenizer_from_gguf(sentencepiece_vocab(), "x.gguf");
  std::istringstream expected(
      read_file(std::string(HOIST_SOURCE_DIR) + "/tests/fixtures/gguf/sentencepiece.expect"));
  int count = 0, wrong = 0;
  for (const std::string& text : strings()) {
    std::string row;
    ASSERT_TRUE(std::getline(expected, row));
    // The library reads these as letters; we, as the `tokenizers` package, as the tokens they name.
    if (text.find("<s>") != std::string::npos || text.find("</s>") != std::string::npos ||
        text.find("<unk>") != std::string::npos)
      continue;
    ++count;
    const std::vector<int32_t> ids = tokenizer->encode(text);
    std::string bytes;
    for (const int32_t id : ids)
      for (int shift = 0; shift < 32; shift += 8)
        bytes += static_cast<char>(static_cast<uint32_t>(id) >> shift);
    const std::string ours = fmt::format("{:08x} {:08x}", hash32(bytes), hash32(tokenizer->decode(ids)));
    if (ours != row && ++wrong <= 5)
      ADD_FAILURE() << Json(text) << "\n expected " << row << "\n found " << ours << "\n " << Json(ids);
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(count, 1800);
}

TEST(GgufVocab, SentencePieceMergesTheHighestScoreThenTheLeftmost) {
  GgufVocab v;
  v.model = "llama";
  v.tokens = {"<unk>", "<s>", "</s>", "a", "b", "ab", "ba", "aba", "<0x41>", "\u2581"};
  v.types = {2, 3, 3, 1, 1, 1, 1, 1, 6, 1};
  v.scores = {0, 0, 0, -9, -9, -1, -1, -2, 0, -9};
  v.bos_id = 1;
  v.add_space_prefix = false;
  const auto t = tokenizer_from_gguf(v, "x.gguf");
  EXPECT_EQ(t->encode("aba"), (std::vector<int32_t>{1, 7}));     // ab and ba tie: the left one, then aba
  EXPECT_EQ(t->encode("bab"), (std::vector<int32_t>{1, 6, 4}));  // ba, not ab
  EXPECT_EQ(t->encode("A", false), (std::vector<int32_t>{8}));   // a byte
  EXPECT_EQ(t->encode("\u00e9", false), (std::vector<int32_t>{0}));
  v.scores[5] = -3;
  EXPECT_EQ(tokenizer_from_gguf(v, "x.gguf")->encode("abab", false), (std::vector<int32_t>{7, 4}));
  v.add_bos.reset();
  v.bos_id.reset();
  EXPECT_EQ(tokenizer_from_gguf(v, "x.gguf")->encode("b"), (std::vector<int32_t>{4}));
}

TEST(GgufVocab, StoriesSurviveTheFormat) {
  const std::string folder = std::string(HOIST_SOURCE_DIR) + "/../shared/models/stories260K";
  if (read_file(folder + "/tokenizer.json").empty()) GTEST_SKIP() << "needs ../shared/models/stories260K";
  const auto ours = Tokenizer::load(folder);
  const GgufVocabExport out = gguf_from_tokenizer(*ours, 512, 1, 2, "tokenizer.json");
  EXPECT_EQ(out.vocab.model, "llama");
  EXPECT_EQ(out.note, "");
  expect_same(*ours, out.vocab, strings());
  EXPECT_EQ(tokenizer_from_gguf(out.vocab, "x")->start_of_text(), ours->start_of_text());
}

TEST(GgufVocab, CharactersSurviveTheFormat) {
  const auto ours =
      Tokenizer::from_json(R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
    "normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":{"type":"Fuse"},
    "model":{"type":"BPE","vocab":{"\n":0," ":1,"a":2,"b":3,"é":4},"merges":[]}})");
  const GgufVocabExport out = gguf_from_tokenizer(*ours, 7, -1, -1, "tokenizer.json");
  const auto back = tokenizer_from_gguf(out.vocab, "x.gguf");
  for (const std::string text : {"a b\n\u00e9  z", "", "   "}) {
    EXPECT_EQ(back->encode(text), ours->encode(text));
    EXPECT_EQ(back->decode(ours->encode(text)), ours->decode(ours->encode(text)));
  }
}

TEST(GgufVocab, WhatTheFormatCannotSayIsRefused) {
  for (const char* kind : {"sp_split", "flags", "prefixes", "prefix_space", "byte_normalizer"}) {
    const auto ours = Tokenizer::load(fixture_path(std::string(kind) + ".json"));
    EXPECT_THROW(gguf_from_tokenizer(*ours, ours->vocab_size(), -1, -1, "tokenizer.json"), Error) << kind;
  }
}

TEST(GgufVocab, BadOnesAreRefusedByKey) {
  const auto message = [](const GgufVocab& v) -> std::string {
    try {
      tokenizer_from_gguf(v, "x.gguf");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const auto changed = [&](auto change) {
    GgufVocab v = sentencepiece_vocab();
    change(v);
    return message(v);
  };
  EXPECT_EQ(changed([](GgufVocab&) {}), "");
  const auto starts = [](const std::string& text, const std::string& with) {
    EXPECT_EQ(text.substr(0, with.size()), with);
  };
  starts(changed([](GgufVocab& v) { v.model = "bert"; }), "x.gguf: tokenizer.ggml.model: found 'bert'");
  starts(changed([](GgufVocab& v) { v.tokens.clear(); }), "x.gguf: tokenizer.ggml.tokens: found none");
  starts(changed([](GgufVocab& v) { v.types.pop_back(); }), "x.gguf: tokenizer.ggml.token_type: found 899");
  starts(changed([](GgufVocab& v) { v.types[5] = 9; }), "x.gguf: tokenizer.ggml.token_type: found 9");
  starts(changed([](GgufVocab& v) { v.scores.pop_back(); }), "x.gguf: tokenizer.ggml.scores: found 899");
  starts(changed([](GgufVocab& v) { v.scores.clear(); }), "x.gguf: tokenizer.ggml.scores: found no such key");
  starts(changed([](GgufVocab& v) { v.scores[300] = NAN; }), "x.gguf: tokenizer.ggml.scores: found nan");
  starts(changed([](GgufVocab& v) { v.tokens[300] = v.tokens[301]; }),
         "x.gguf: tokenizer.ggml.tokens: found '");
  starts(changed([](GgufVocab& v) { v.tokens[300] = "\xff"; }),
         "x.gguf: tokenizer.ggml.tokens: token 300 is not");
  starts(changed([](GgufVocab& v) { v.bos_id = 900; }), "x.gguf: tokenizer.ggml.bos_token_id: found 900");
  starts(changed([](GgufVocab& v) { v.add_eos = true; }),
         "x.gguf: tokenizer.ggml.eos_token_id: found no such key");
  starts(changed([](GgufVocab& v) {
           v.model = "gpt2";
           v.merges = {"nospace"};
         }),
         "x.gguf: tokenizer.ggml.merges: entry 0");
}

}  // namespace
}  // namespace hoist::text
