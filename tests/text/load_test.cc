// Files that must be refused, one defect each, by a message that leads with the file and the field.
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/json.h"
#include "test_util.h"

namespace hoist::text {
namespace {

using support::Json;

Json added(int id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json sound() {
  return {{"version", "1.0"},
          {"added_tokens", {added(3, "<s>")}},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Fuse"}}},
          {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}}};
}

struct Defect {
  const char* name;
  std::function<void(Json&)> make;
  ErrorCode code;
  const char* message;  // a part of it
};

const Defect kDefects[] = {
    {"model type", [](Json& j) { j["model"]["type"] = "WordLevel"; }, ErrorCode::kUnsupported,
     "t.json: model.type: found 'WordLevel', supported: BPE"},
    {"wordpiece of long words",
     [](Json& j) {
       j["model"] = {{"type", "WordPiece"},
                     {"unk_token", "a"},
                     {"continuing_subword_prefix", "##"},
                     {"max_input_chars_per_word", 1000000},
                     {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}};
     },
     ErrorCode::kCorrupt, "t.json: model.max_input_chars_per_word: "},
    {"unigram without a score",
     [](Json& j) {
       j["model"] = {{"type", "Unigram"},
                     {"unk_id", 0},
                     {"vocab", Json::array({Json::array({"a", 0}), Json::array({"b"})})}};
     },
     ErrorCode::kCorrupt, "t.json: model.vocab[1]: expected a token and its score"},
    {"unigram twice the same",
     [](Json& j) {
       j["model"] = {{"type", "Unigram"},
                     {"unk_id", 0},
                     {"vocab", Json::array({Json::array({"a", 0}), Json::array({"a", -1})})}};
     },
     ErrorCode::kCorrupt, "t.json: model.vocab[1]: 'a' given twice"},
    {"unigram's unknown token",
     [](Json& j) {
       j["model"] = {
           {"type", "Unigram"},
           {"unk_id", 3},
           {"vocab", Json::array({Json::array({"a", 0}), Json::array({"b", -1}), Json::array({"ab", -2})})}};
     },
     ErrorCode::kCorrupt, "t.json: model.unk_id: "},
    {"character map that is not base64",
     [](Json& j) {
       j["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "a!=="}};
     },
     ErrorCode::kCorrupt, "t.json: normalizer.precompiled_charsmap: found text that is not base64"},
    {"character map cut short",
     [](Json& j) {
       j["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "////fwAA"}};
     },
     ErrorCode::kCorrupt, "t.json: normalizer.precompiled_charsmap: found a trie of"},
    {"no model", [](Json& j) { j.erase("model"); }, ErrorCode::kCorrupt, "t.json: model: missing"},
    {"no vocab", [](Json& j) { j["model"].erase("vocab"); }, ErrorCode::kCorrupt,
     "t.json: model.vocab: missing"},
    {"no merges", [](Json& j) { j["model"].erase("merges"); }, ErrorCode::kCorrupt,
     "t.json: model.merges: missing"},
    {"dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }, ErrorCode::kUnsupported,
     "t.json: model.dropout: found 0.1"},
    {"unknown model key", [](Json& j) { j["model"]["temperature"] = 1; }, ErrorCode::kUnsupported,
     "t.json: model.temperature: unknown key"},
    {"unknown key", [](Json& j) { j["post_normalizer"] = 1; }, ErrorCode::kUnsupported,
     "t.json: post_normalizer: unknown key"},
    {"version", [](Json& j) { j["version"] = "2.0"; }, ErrorCode::kUnsupported,
     "t.json: version: found '2.0', expected 1.0"},
    {"negative id", [](Json& j) { j["model"]["vocab"]["b"] = -1; }, ErrorCode::kCorrupt,
     "t.json: model.vocab: token 'b': found -1, expected a whole number"},
    {"id not a number", [](Json& j) { j["model"]["vocab"]["b"] = "1"; }, ErrorCode::kCorrupt,
     "token 'b': found \"1\""},
    {"huge id", [](Json& j) { j["model"]["vocab"]["b"] = 4000000000; }, ErrorCode::kCorrupt,
     "'b' has id 4000000000, expected below"},
    {"shared id", [](Json& j) { j["model"]["vocab"]["b"] = 0; }, ErrorCode::kCorrupt, "share id 0"},
    {"merge of unknown", [](Json& j) { j["model"]["merges"] = {"a c"}; }, ErrorCode::kCorrupt,
     "t.json: model.merges[0]: 'c' is not in the vocabulary"},
    {"merge to unknown",
     [](Json& j) {
       j["model"]["merges"] = {"a b", "b a"};
     },
     ErrorCode::kCorrupt, "t.json: model.merges[1]: 'ba' is not in the vocabulary"},
    {"merge of three", [](Json& j) { j["model"]["merges"] = {"a b c"}; }, ErrorCode::kCorrupt,
     "found 'a b c', expected two tokens"},
    {"merge list of three",
     [](Json& j) {
       j["model"]["merges"] = Json::array({Json::array({"a", "b", "c"})});
     },
     ErrorCode::kCorrupt, "t.json: model.merges[0]: expected two tokens"},
    {"vocab a list", [](Json& j) { j["model"]["vocab"] = Json::array(); }, ErrorCode::kCorrupt,
     "t.json: model.vocab: found a list, expected an object"},
    {"flag not boolean", [](Json& j) { j["model"]["fuse_unk"] = "yes"; }, ErrorCode::kCorrupt,
     "t.json: model.fuse_unk: found a string, expected true or false"},
    {"normalizer",
     [](Json& j) {
       j["normalizer"] = {{"type", "Nmt"}};
     },
     ErrorCode::kUnsupported, "t.json: normalizer.type: found 'Nmt', supported: Sequence, NFC"},
    {"nested normalizer",
     [](Json& j) {
       j["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Nmt"}}}}};
     },
     ErrorCode::kUnsupported, "t.json: normalizer.normalizers[1].type: found 'Nmt'"},
    {"normalizer without type", [](Json& j) { j["normalizer"] = Json::object(); }, ErrorCode::kCorrupt,
     "t.json: normalizer.type: missing"},
    {"normalizer key",
     [](Json& j) {
       j["normalizer"] = {{"type", "NFC"}, {"x", 1}};
     },
     ErrorCode::kUnsupported, "t.json: normalizer.x: unknown key"},
    {"pre-tokenizer",
     [](Json& j) {
       j["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
     },
     ErrorCode::kUnsupported, "t.json: pre_tokenizer.type: found 'UnicodeScripts'"},
    {"behavior",
     [](Json& j) {
       j["pre_tokenizer"] = {
           {"type", "Split"}, {"pattern", {{"String", "x"}}}, {"behavior", "Gone"}, {"invert", false}};
     },
     ErrorCode::kCorrupt, "t.json: pre_tokenizer.behavior: found 'Gone'"},
    {"two patterns",
     [](Json& j) {
       j["pre_tokenizer"] = {{"type", "Split"},
                             {"pattern", {{"String", "x"}, {"Regex", "x"}}},
                             {"behavior", "Isolated"},
                             {"invert", false}};
     },
     ErrorCode::kCorrupt, "t.json: pre_tokenizer.pattern: expected either String or Regex"},
    {"bad regex",
     [](Json& j) {
       j["pre_tokenizer"] = {
           {"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}, {"invert", false}};
     },
     ErrorCode::kUnsupported, "t.json: pre_tokenizer.pattern.Regex: regular expression not understood"},
    {"replacement of two",
     [](Json& j) {
       j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "__"}};
     },
     ErrorCode::kCorrupt, "t.json: pre_tokenizer.replacement: found '__', expected one character"},
    {"prepend scheme",
     [](Json& j) {
       j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}};
     },
     ErrorCode::kCorrupt, "t.json: pre_tokenizer.prepend_scheme: found 'last'"},
    {"decoder",
     [](Json& j) {
       j["decoder"] = {{"type", "CTC"}};
     },
     ErrorCode::kUnsupported, "t.json: decoder.type: found 'CTC'"},
    {"post-processor",
     [](Json& j) {
       j["post_processor"] = {{"type", "Other"}};
     },
     ErrorCode::kUnsupported, "t.json: post_processor.type: found 'Other'"},
    {"template id",
     [](Json& j) {
       j["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single",
                               {{{"SpecialToken", {{"id", "x"}, {"type_id", 0}}}},
                                {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                              {"pair", Json::array()},
                              {"special_tokens", {{"x", {{"id", "x"}, {"ids", {77}}, {"tokens", {"x"}}}}}}};
     },
     ErrorCode::kCorrupt, "found 77, expected the id of a token"},
    {"template without text",
     [](Json& j) {
       j["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", Json::array()},
                              {"pair", Json::array()},
                              {"special_tokens", Json::object()}};
     },
     ErrorCode::kUnsupported, "t.json: post_processor.single: expected the sequence A once"},
    {"added id", [](Json& j) { j["added_tokens"][0]["id"] = 9; }, ErrorCode::kCorrupt,
     "t.json: added_tokens[0].id: found 9 for '<s>', expected 3 (the next free id after model.vocab)"},
    {"added id of vocab", [](Json& j) { j["added_tokens"] = {added(2, "a")}; }, ErrorCode::kCorrupt,
     "expected 0 (its id in model.vocab)"},
    {"added twice", [](Json& j) { j["added_tokens"].push_back(added(4, "<s>")); }, ErrorCode::kCorrupt,
     "t.json: added_tokens[1].content: found '<s>' a second time"},
    {"added without flag", [](Json& j) { j["added_tokens"][0].erase("lstrip"); }, ErrorCode::kCorrupt,
     "t.json: added_tokens[0].lstrip: missing"},
};

TEST(Refused, OneDefectEach) {
  ASSERT_NO_THROW(Tokenizer::from_json(sound().dump(), "t.json"));
  for (const Defect& defect : kDefects) {
    Json json = sound();
    defect.make(json);
    try {
      Tokenizer::from_json(json.dump(), "t.json");
      ADD_FAILURE() << defect.name << ": was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), defect.code) << defect.name << ": " << error.what();
      EXPECT_NE(std::string(error.what()).find(defect.message), std::string::npos)
          << defect.name << ": " << error.what();
      EXPECT_EQ(std::string(error.what()).find("t.json: "), 0u) << error.what();
    }
  }
}

void expect_refused(const std::string& json, const std::string& message) {
  try {
    Tokenizer::from_json(json, "t.json");
    ADD_FAILURE() << "taken; expected " << message;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

TEST(Refused, WhatTheJsonLibraryHides) {
  expect_refused("", "not readable as JSON");
  expect_refused("{", "not readable as JSON");
  expect_refused("[]", "t.json:: found a list, expected an object");
  expect_refused(std::string(100'000, '['), "not readable as JSON");
  expect_refused(R"({"model":{"type":"BPE","vocab":{"a":0,"a":1},"merges":[]}})",
                 "t.json: model.vocab: token 'a' given twice");
  expect_refused(R"({"model":{"type":"BPE","type":"BPE","vocab":{"a":0},"merges":[]}})",
                 "t.json: model.type: key given twice");
  expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xFF\":0},\"merges\":[]}}",
                 "not readable as JSON");
  try {
    Tokenizer::load("/nonexistent/tokenizer.json");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

TEST(Refused, RunawaySizes) {
  // 64 doublings of the text.
  Json json = sound();
  Json doubling = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}};
  for (int i = 0; i < 64; ++i) json["normalizer"]["normalizers"].push_back(doubling);
  const auto tokenizer = Tokenizer::from_json(json.dump(), "t.json");
  EXPECT_THROW(tokenizer->encode("a"), Error);
  json["normalizer"]["normalizers"].push_back(doubling);
  expect_refused(json.dump(), "more than 64 steps");

  json = sound();
  json["decoder"] = {{"type", "Sequence"}, {"decoders", Json::array()}};
  for (int i = 0; i < 64; ++i) json["decoder"]["decoders"].push_back(doubling);
  const std::vector<int32_t> ids = {0};
  EXPECT_THROW(Tokenizer::from_json(json.dump(), "t.json")->decode(ids), Error);

  json = sound();
  json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json::array()}};
  for (int i = 0; i < 64; ++i) {
    json["pre_tokenizer"]["pretokenizers"].push_back(
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  }
  EXPECT_THROW(Tokenizer::from_json(json.dump(), "t.json")->encode("\u00E9"), Error);
}

TEST(Taken, HolesAndCyclicMerges) {
  Json json = sound();
  json["added_tokens"] = Json::array();
  json["model"]["vocab"] = {{"a", 5}, {"b", 100}, {"ab", 7}, {"ba", 9}, {"aba", 11}};
  json["model"]["merges"] = {"ab a", "a ba", "b a", "a b", "a b"};
  const auto tokenizer = Tokenizer::from_json(json.dump());
  EXPECT_EQ(tokenizer->vocab_size(), 101);
  EXPECT_FALSE(tokenizer->id_to_token(6));
  EXPECT_EQ(tokenizer->encode("abab"), (std::vector<int32_t>{11, 100}));
  const std::vector<int32_t> ids = {6, 5, -3, 1000, 100};
  EXPECT_EQ(tokenizer->decode(ids), "ab");
}

}  // namespace
}  // namespace hoist::text
