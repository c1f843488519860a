// The `model` section of a tokenizer.json: vocabularies, merges, scores.
#include <fmt/format.h>

#include "base/error.h"
#include "text/json_object.h"
#include "text/tokenizer_load.h"

namespace hoist::text {
namespace {

void read_vocab(const JsonObject& model, Vocab& out) {
  simdjson::dom::object vocab;
  const JsonElement value = model.need("vocab");
  if (value.get(vocab)) json_mismatch(model.path_of("vocab"), value, "an object");
  for (const auto field : vocab) {
    uint64_t id = 0;
    if (field.value.get(id)) {
      throw_corrupt(fmt::format("{}: token '{}': found {}, expected a whole number from 0",
                                model.path_of("vocab"), field.key, simdjson::minify(field.value)));
    }
    if (!out.add(field.key, id)) {
      throw_corrupt(fmt::format("{}: token '{}' given twice", model.path_of("vocab"), field.key));
    }
  }
  if (const std::string wrong = out.finish(); !wrong.empty()) {
    throw_corrupt(model.path_of("vocab") + ": " + wrong);
  }
}

void read_merges(const JsonObject& model, const std::vector<uint32_t>* ranks, BpeModel& bpe) {
  const std::string path = model.path_of("merges");
  size_t i = 0;
  for (const JsonElement merge : model.need_array("merges")) {
    const auto fail = [&](const std::string& what) {
      throw_corrupt(fmt::format("{}[{}]: {}", path, i, what));
    };
    std::string_view left, right, line;
    JsonArray pair;
    if (!merge.get(line)) {
      if (line.starts_with("#version")) continue;
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
        fail(fmt::format("found '{}', expected two tokens and one space between", line));
      }
      left = line.substr(0, space);
      right = line.substr(space + 1);
    } else if (merge.get(pair) || pair.size() != 2 || pair.at(0).get(left) || pair.at(1).get(right)) {
      fail("expected two tokens");
    }
    const std::string wrong = bpe.add_merge(left, right, ranks ? &(*ranks)[i] : nullptr);
    if (!wrong.empty()) fail(wrong);
    ++i;
  }
}

void read_bpe(const JsonObject& model, const std::vector<uint32_t>* ranks, BpeModel& bpe) {
  model.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
              "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (const auto dropout = model.find("dropout")) {
    double p = 0;
    if (dropout->get(p)) json_mismatch(model.path_of("dropout"), *dropout, "null or 0");
    if (p != 0) {
      throw_unsupported(fmt::format("{}: found {}, expected null or 0: encoding would be random",
                                    model.path_of("dropout"), p));
    }
  }
  if (model.find("unk_token")) {
    bpe.has_unk = true;
    bpe.unk_token = model.need_string("unk_token");
  }
  bpe.continuing_subword_prefix = model.string_or("continuing_subword_prefix", "");
  bpe.end_of_word_suffix = model.string_or("end_of_word_suffix", "");
  bpe.fuse_unk = model.bool_or("fuse_unk", false);
  bpe.byte_fallback = model.bool_or("byte_fallback", false);
  bpe.ignore_merges = model.bool_or("ignore_merges", false);
  read_vocab(model, bpe.vocab);
  read_merges(model, ranks, bpe);
  bpe.finish();
}

void read_wordpiece(const JsonObject& model, WordPieceModel& pieces) {
  model.only({"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
  pieces.unk_token = model.need_string("unk_token");
  pieces.continuing_subword_prefix = model.need_string("continuing_subword_prefix");
  pieces.max_input_chars = model.need_uint("max_input_chars_per_word", WordPieceModel::kMostInputChars);
  read_vocab(model, pieces.vocab);
  pieces.finish();
}

void read_unigram(const JsonObject& model, UnigramModel& unigram) {
  model.only({"type", "unk_id", "vocab", "byte_fallback"});
  const std::string path = model.path_of("vocab");
  for (const JsonElement entry : model.need_array("vocab")) {
    const size_t i = unigram.scores.size();
    JsonArray pair;
    std::string_view token;
    double score = 0;
    if (entry.get(pair) || pair.size() != 2 || pair.at(0).get(token) || pair.at(1).get(score))
      throw_corrupt(fmt::format("{}[{}]: expected a token and its score", path, i));
    if (token.size() > UnigramModel::kLongestToken)
      throw_unsupported(fmt::format("{}[{}]: a token of {} bytes, expected at most {}", path, i, token.size(),
                                    UnigramModel::kLongestToken));
    if (!unigram.vocab.add(token, i)) throw_corrupt(fmt::format("{}[{}]: '{}' given twice", path, i, token));
    unigram.scores.push_back(score);
  }
  if (const std::string wrong = unigram.vocab.finish(); !wrong.empty()) throw_corrupt(path + ": " + wrong);
  if (model.find("unk_id")) {
    if (unigram.scores.empty()) throw_corrupt(model.path_of("unk_id") + ": given for an empty vocab");
    unigram.unk_id = static_cast<int32_t>(model.need_uint("unk_id", unigram.scores.size() - 1));
  }
  unigram.byte_fallback = model.bool_or("byte_fallback", false);
  unigram.finish();
}

// Files of the first years name no type: their keys tell.
std::string_view model_type(const JsonObject& model) {
  if (const auto type = model.find("type")) return model.need_string("type");
  JsonArray list;
  if (!model.need("vocab").get(list)) return "Unigram";
  return model.find("max_input_chars_per_word") ? "WordPiece" : "BPE";
}

}  // namespace

void unknown_type(const JsonObject& object, std::string_view supported) {
  throw_unsupported(fmt::format("{}: found '{}', supported: {}", object.path_of("type"),
                                object.need_string("type"), supported));
}

void read_model(const JsonObject& file, const std::string& name, const std::vector<uint32_t>* ranks,
                WordModel& out) {
  const JsonObject model(file.need("model"), name + ": model");
  const std::string_view type = model_type(model);
  if (type == "BPE") {
    read_bpe(model, ranks, out.emplace<BpeModel>());
  } else if (type == "WordPiece") {
    read_wordpiece(model, out.emplace<WordPieceModel>());
  } else if (type == "Unigram") {
    read_unigram(model, out.emplace<UnigramModel>());
  } else {
    unknown_type(model, "BPE, WordPiece, Unigram");
  }
}

}  // namespace hoist::text
