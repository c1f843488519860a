// Tokenizer to GGUF vocabulary. What the format has no words for is refused by name, so that nobody who opens
// the file gets other ids in silence.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "text/gguf_pre.h"
#include "text/gguf_vocab.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSpaceMark = "\u2581";

// The members of a component that may be a (nested) Sequence, or null.
std::vector<Json> flatten(const Json& value, const char* list_key) {
  std::vector<Json> out, waiting;
  if (!value.is_null()) waiting.push_back(value);
  while (!waiting.empty()) {
    const Json top = waiting.back();
    waiting.pop_back();
    if (top.at("type") == "Sequence") {
      const Json& members = top.at(list_key);
      waiting.insert(waiting.end(), members.rbegin(), members.rend());
    } else {
      out.push_back(top);
    }
  }
  return out;
}

bool is_replace(const Json& step, std::string_view from, std::string_view to) {
  return step.at("type") == "Replace" && step.at("pattern").value("String", "") == from &&
         step.at("content") == to;
}

class Exporter {
 public:
  Exporter(const Tokenizer& tokenizer, int64_t rows, int64_t bos, int64_t eos, const std::string& source)
      : rows_(rows), bos_(bos), eos_(eos), source_(source), file_(Json::parse(tokenizer.json())) {}

  GgufVocabExport run() {
    normalizers_ = flatten(part("normalizer"), "normalizers");
    cutters_ = flatten(part("pre_tokenizer"), "pretokenizers");
    const Json& model = file_.at("model");
    if (!model.value("continuing_subword_prefix", Json()).is_null() &&
        model.at("continuing_subword_prefix") != "")
      refuse("model.continuing_subword_prefix");
    if (!model.value("end_of_word_suffix", Json()).is_null() && model.at("end_of_word_suffix") != "")
      refuse("model.end_of_word_suffix");
    const bool byte_level = !cutters_.empty() && cutters_.back().at("type") == "ByteLevel" &&
                            !cutters_.back().value("add_prefix_space", true);
    if (byte_level)
      byte_level_bpe();
    else
      sentence_piece();
    add_tokens(byte_level);
    roles();
    return std::move(out_);
  }

 private:
  Json part(const char* key) const { return file_.contains(key) ? file_.at(key) : Json(); }

  [[noreturn]] void refuse(const std::string& field) const {
    throw_unsupported(fmt::format("{}: {}: GGUF files have no words for what it says here", source_, field));
  }

  std::pair<std::string, std::string> merge_at(const Json& merge) const {
    if (merge.is_array()) return {merge[0], merge[1]};
    const std::string line = merge;
    const size_t space = line.find(' ');
    return {line.substr(0, space), line.substr(space + 1)};
  }

  template <class Visit>
  void each_merge(Visit visit) const {
    for (const Json& merge : file_.at("model").at("merges")) {
      if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
      const auto [left, right] = merge_at(merge);
      visit(left, right);
    }
  }

  void byte_level_bpe() {
    std::vector<std::string> splits;
    for (const Json& step : cutters_) {
      const std::string type = step.at("type");
      if (type == "Split" && step.at("behavior") == "Isolated" && step.at("pattern").contains("Regex") &&
          !step.value("invert", false)) {
        splits.push_back(step.at("pattern").at("Regex"));
      } else if (type == "Digits" && step.value("individual_digits", false)) {
        splits.push_back(R"(\p{N})");
      } else if (type == "ByteLevel" && &step == &cutters_.back()) {
        if (step.value("use_regex", true)) splits.emplace_back(gguf_pres()[0].splits[0]);
      } else {
        refuse("pre_tokenizer");
      }
    }
    bool nfc = false;
    for (const Json& step : normalizers_) {
      if (step.at("type") != "NFC") refuse("normalizer");
      nfc = true;
    }
    const bool ignore_merges = file_.at("model").value("ignore_merges", false);
    for (const GgufPre& pre : gguf_pres()) {
      if (pre.nfc != nfc || pre.ignore_merges != ignore_merges) continue;
      if (!std::equal(pre.splits.begin(), pre.splits.end(), splits.begin(), splits.end())) continue;
      out_.vocab.pre = pre.names[0];
      break;
    }
    if (out_.vocab.pre.empty()) refuse("pre_tokenizer");
    out_.vocab.model = "gpt2";
    each_merge([&](const std::string& left, const std::string& right) {
      if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos) refuse("model.merges");
      out_.vocab.merges.push_back(left + ' ' + right);
    });
  }

  // SentencePiece's rule needs no merge list: the list must then hold every way to cut every token, token by
  // token.
  void sentence_piece() {
    bool to_mark = false, prefix = false;
    for (const Json& step : normalizers_) {
      if (step.at("type") == "Prepend" && step.at("prepend") == kSpaceMark && !to_mark)
        prefix = true;
      else if (is_replace(step, " ", kSpaceMark))
        to_mark = true;
      else
        refuse("normalizer");
    }
    for (const Json& step : cutters_) {
      if (step.at("type") != "Metaspace" || cutters_.size() != 1 || to_mark || step.value("split", true) ||
          step.value("replacement", "") != kSpaceMark)
        refuse("pre_tokenizer");
      to_mark = true;
      prefix =
          step.value("prepend_scheme", step.value("add_prefix_space", true) ? "always" : "never") != "never";
      if (prefix)
        out_.note =
            "GGUF files put a space before every piece of text between special tokens, this tokenizer only "
            "before some: "
            "ids may differ there";
    }
    const Json& vocab = file_.at("model").at("vocab");
    // A vocabulary of bare characters has no marks: they are written in.
    rename_spaces_ = !to_mark;
    if (rename_spaces_ &&
        (!file_.at("model").at("merges").empty() || vocab.contains(std::string(kSpaceMark))))
      refuse("normalizer");
    out_.vocab.model = "llama";
    out_.vocab.pre = "default";
    out_.vocab.add_space_prefix = prefix;

    std::unordered_map<std::string, std::pair<size_t, size_t>> made;  // token -> (place in the order, merges)
    std::string current;
    each_merge([&](const std::string& left, const std::string& right) {
      const std::string token = left + right;
      auto [at, fresh] = made.emplace(token, std::pair(made.size(), size_t{0}));
      if (!fresh && token != current) refuse("model.merges (not in the order of tokens)");
      ++at->second.second;
      current = token;
    });
    const Json added = part("added_tokens");
    std::unordered_map<std::string, bool> outside;
    for (const Json& token : added) outside[token.at("content")] = true;
    for (const auto& [token, id] : vocab.items()) {
      if (outside.contains(token) || is_byte(token) || token.empty()) continue;
      size_t cuts = 0;
      for (size_t at = char_length(static_cast<unsigned char>(token[0])); at < token.size();
           at += char_length(static_cast<unsigned char>(token[at]))) {
        const std::string left = token.substr(0, at), right = token.substr(at);
        cuts += vocab.contains(left) && vocab.contains(right) && !outside.contains(left) &&
                !outside.contains(right) && !is_byte(left) && !is_byte(right);
      }
      const auto at = made.find(token);
      if (cuts != (at == made.end() ? 0 : at->second.second))
        refuse(fmt::format("model.merges ('{}' can be made in other ways)", token));
      if (at != made.end()) scores_[token] = -static_cast<float>(at->second.first) - 1;
    }
    lowest_score_ = -static_cast<float>(made.size()) - 1;
  }

  static bool is_byte(std::string_view token) {
    const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
    return token.size() == 6 && token.starts_with("<0x") && hex(token[3]) && hex(token[4]) && token[5] == '>';
  }

  void add_tokens(bool byte_level) {
    GgufVocab& v = out_.vocab;
    const auto n = static_cast<size_t>(rows_);
    v.tokens.resize(n);
    v.types.assign(n, GgufVocab::kUnused);
    if (!byte_level) v.scores.assign(n, lowest_score_);
    const auto place = [&](std::string token, int64_t id, int32_t type) {
      if (id < 0 || id >= rows_)
        throw_unsupported(fmt::format("{}: token '{}': found id {}, expected one below the model's {} rows",
                                      source_, token, id, rows_));
      const auto at = static_cast<size_t>(id);
      if (const auto score = scores_.find(token); score != scores_.end()) v.scores[at] = score->second;
      if (rename_spaces_ && token == " ") token = kSpaceMark;
      v.tokens[at] = std::move(token);
      v.types[at] = type;
    };
    const bool fallback = file_.at("model").value("byte_fallback", false);
    for (const auto& [token, id] : file_.at("model").at("vocab").items())
      place(token, id.get<int64_t>(),
            !byte_level && fallback && is_byte(token) ? GgufVocab::kByte : GgufVocab::kNormal);
    for (const Json& token : part("added_tokens")) {
      const std::string content = token.at("content");
      if (content.empty()) continue;
      if (token.value("lstrip", false) || token.value("rstrip", false) || token.value("single_word", false))
        out_.note = fmt::format(
            "'{}' takes spaces beside it or stands alone only, which GGUF files do not say", content);
      place(content, token.at("id").get<int64_t>(),
            token.value("special", false) ? GgufVocab::kControl : GgufVocab::kUserDefined);
    }
    const Json unknown = file_.at("model").value("unk_token", Json());
    if (!byte_level && unknown.is_string())
      for (size_t id = 0; id < n; ++id)
        if (v.tokens[id] == unknown.get_ref<const std::string&>()) {
          v.types[id] = GgufVocab::kUnknown;
          v.unknown_id = static_cast<int32_t>(id);
        }
    // Every row has a token of its own, whatever the tokenizer leaves free.
    for (size_t id = 0; id < n; ++id)
      if (v.types[id] == GgufVocab::kUnused) v.tokens[id] = fmt::format("[PAD{}]", id);
  }

  // The post-processor may put one token before the text and one after.
  void roles() {
    GgufVocab& v = out_.vocab;
    std::vector<int32_t> before, after;
    for (const Json& step : flatten(part("post_processor"), "processors")) {
      const std::string type = step.at("type");
      if (type == "ByteLevel") continue;
      if (type != "TemplateProcessing") refuse("post_processor");
      bool text_seen = false;
      for (const Json& piece : step.at("single")) {
        if (piece.contains("Sequence")) {
          text_seen = true;
          continue;
        }
        const std::string name = piece.at("SpecialToken").at("id");
        for (const Json& id : step.at("special_tokens").at(name).at("ids"))
          (text_seen ? after : before).push_back(id.get<int32_t>());
      }
    }
    if (before.size() > 1 || after.size() > 1) refuse("post_processor");
    v.add_bos = !before.empty();
    v.add_eos = !after.empty();
    if (bos_ >= 0 && bos_ < rows_) v.bos_id = static_cast<int32_t>(bos_);
    if (eos_ >= 0 && eos_ < rows_) v.eos_id = static_cast<int32_t>(eos_);
    if (!before.empty()) v.bos_id = before[0];
    if (!after.empty()) {
      if (v.eos_id && *v.eos_id != after[0])
        refuse("post_processor (it ends texts with another token than the model's)");
      v.eos_id = after[0];
    }
  }

  int64_t rows_, bos_, eos_;
  const std::string& source_;
  Json file_;
  std::vector<Json> normalizers_, cutters_;
  bool rename_spaces_ = false;
  std::unordered_map<std::string, float> scores_;
  float lowest_score_ = 0;
  GgufVocabExport out_;
};

}  // namespace

GgufVocabExport gguf_from_tokenizer(const Tokenizer& tokenizer, int64_t rows, int64_t bos, int64_t eos,
                                    const std::string& source) {
  return Exporter(tokenizer, rows, bos, eos, source).run();
}

}  // namespace hoist::text
