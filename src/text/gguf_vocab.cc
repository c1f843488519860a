// GGUF vocabulary to Tokenizer, by way of the tokenizer.json it came from.
#include "text/gguf_vocab.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "text/gguf_pre.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_ranked.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

using Json = nlohmann::json;  // its objects find a key in log n; a vocabulary is one
using Type = GgufVocab;

// Longer ones are no words, and cutting them everywhere takes quadratic time.
constexpr size_t kMaxScoredToken = 1024;
constexpr std::string_view kSpaceMark = "\u2581";

class Builder {
 public:
  Builder(const GgufVocab& vocab, const std::string& source) : vocab_(vocab), source_(source) {}

  std::unique_ptr<Tokenizer> run() {
    check();
    json_ = {
        {"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", Json::array()}};
    Json tokens = Json::object();
    for (size_t id = 0; id < vocab_.tokens.size(); ++id)
      if (type_of(id) != Type::kUnused) tokens[vocab_.tokens[id]] = id;
    for (size_t id = 0; id < vocab_.tokens.size(); ++id) {
      const int32_t type = type_of(id);
      if ((type != Type::kControl && type != Type::kUnknown && type != Type::kUserDefined) ||
          vocab_.tokens[id].empty())
        continue;
      json_["added_tokens"].push_back({{"id", id},
                                       {"content", vocab_.tokens[id]},
                                       {"single_word", false},
                                       {"lstrip", false},
                                       {"rstrip", false},
                                       {"normalized", false},
                                       {"special", type != Type::kUserDefined}});
    }
    const bool scored = vocab_.model == "llama";
    std::vector<uint32_t> ranks;
    if (scored)
      sentence_piece(ranks);
    else
      byte_level();
    json_["model"]["vocab"] = std::move(tokens);
    json_["model"]["merges"] = std::move(merges_);
    return tokenizer_from_ranked_json(json_.dump(), source_, scored ? &ranks : nullptr);
  }

 private:
  [[noreturn]] void corrupt(std::string_view key, const std::string& what) const {
    throw_corrupt(fmt::format("{}: tokenizer.ggml.{}: {}", source_, key, what));
  }

  void check() {
    if (vocab_.model != "llama" && vocab_.model != "gpt2")
      throw_unsupported(
          fmt::format("{}: tokenizer.ggml.model: found '{}', expected llama or gpt2", source_, vocab_.model));
    const size_t n = vocab_.tokens.size();
    if (n == 0) corrupt("tokens", "found none");
    if (!vocab_.types.empty() && vocab_.types.size() != n)
      corrupt("token_type", fmt::format("found {}, expected {}, one for each token", vocab_.types.size(), n));
    if (!vocab_.scores.empty() && vocab_.scores.size() != n)
      corrupt("scores", fmt::format("found {}, expected {}, one for each token", vocab_.scores.size(), n));
    for (size_t id = 0; id < n; ++id) {
      if (!is_utf8(vocab_.tokens[id])) corrupt("tokens", fmt::format("token {} is not UTF-8", id));
      if (!vocab_.types.empty() && (vocab_.types[id] < Type::kNormal || vocab_.types[id] > Type::kByte))
        corrupt("token_type", fmt::format("found {} for token {}, expected 1 to 6", vocab_.types[id], id));
      if (type_of(id) == Type::kUnused) continue;
      const auto [at, fresh] = ids_.emplace(vocab_.tokens[id], id);
      if (!fresh)
        corrupt("tokens",
                fmt::format("found '{}' as token {} and as token {}", vocab_.tokens[id], at->second, id));
    }
    for (const auto& [key, id] : {std::pair("bos_token_id", vocab_.bos_id),
                                  {"eos_token_id", vocab_.eos_id},
                                  {"unknown_token_id", vocab_.unknown_id}})
      if (id && (*id < 0 || static_cast<size_t>(*id) >= n))
        corrupt(key, fmt::format("found {}, expected one of the {} tokens", *id, n));
  }

  int32_t type_of(size_t id) const {
    if (vocab_.tokens[id].empty()) return Type::kUnused;
    if (!vocab_.types.empty()) return vocab_.types[id];
    // Files without types: what has a role is no text.
    const auto is = [&](const std::optional<int32_t>& role) {
      return role && static_cast<size_t>(*role) == id;
    };
    if (is(vocab_.unknown_id)) return Type::kUnknown;
    return is(vocab_.bos_id) || is(vocab_.eos_id) ? Type::kControl : Type::kNormal;
  }

  void post_processor(bool bos_by_default) {
    Json single = Json::array(), special = Json::object();
    const auto add = [&](std::string_view key, const std::optional<int32_t>& id) {
      if (!id)
        corrupt(key, "found no such key, which add_" + std::string(key.substr(0, 3)) + "_token asks for");
      const std::string& token = vocab_.tokens[static_cast<size_t>(*id)];
      single.push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
      special[token] = {{"id", token}, {"ids", {*id}}, {"tokens", {token}}};
    };
    // A default asks for nothing that is not there.
    if (vocab_.add_bos.value_or(bos_by_default && vocab_.bos_id)) add("bos_token_id", vocab_.bos_id);
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    if (vocab_.add_eos.value_or(false)) add("eos_token_id", vocab_.eos_id);
    json_["post_processor"] = nullptr;
    if (single.size() > 1) {
      Json pair = single;
      pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
      json_["post_processor"] = {
          {"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
    }
  }

  void byte_level() {
    const std::string_view name = vocab_.pre.empty() ? "default" : std::string_view(vocab_.pre);
    const GgufPre* pre = find_gguf_pre(name);
    if (!pre) {
      std::string known;
      for (const GgufPre& p : gguf_pres()) known += (known.empty() ? "" : ", ") + std::string(p.names[0]);
      throw_unsupported(fmt::format(
          "{}: tokenizer.ggml.pre: found '{}', which names a way of cutting text that we do not know: {}",
          source_, name, known));
    }
    if (vocab_.add_space_prefix.value_or(false))
      throw_unsupported(source_ +
                        ": tokenizer.ggml.add_space_prefix: found true, expected false for this kind");
    json_["normalizer"] = pre->nfc ? Json{{"type", "NFC"}} : Json(nullptr);
    Json steps = Json::array();
    for (std::string_view split : pre->splits)
      steps.push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", split}}}, {"behavior", "Isolated"}, {"invert", false}});
    const Json bytes = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    steps.push_back(bytes);
    json_["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
    post_processor(pre->add_bos);
    json_["decoder"] = bytes;
    json_["model"] = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"ignore_merges", pre->ignore_merges}};
    merges_ = Json::array();
    for (size_t i = 0; i < vocab_.merges.size(); ++i) {
      // The first character may itself be a space in odd vocabularies; the separator is never the first byte.
      const std::string& line = vocab_.merges[i];
      const size_t space = line.find(' ', 1);
      if (space == std::string::npos || !is_utf8(line))
        corrupt("merges", fmt::format("entry {}: found no two tokens with a space between", i));
      merges_.push_back({line.substr(0, space), line.substr(space + 1)});
    }
  }

  void sentence_piece(std::vector<uint32_t>& ranks) {
    const bool prefix = vocab_.add_space_prefix.value_or(true);
    Json to_mark = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMark}};
    json_["normalizer"] = to_mark;
    if (prefix)
      json_["normalizer"] = {
          {"type", "Sequence"},
          {"normalizers", {{{"type", "Prepend"}, {"prepend", kSpaceMark}}, std::move(to_mark)}}};
    json_["pre_tokenizer"] = nullptr;
    post_processor(true);
    Json decoders = {{{"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}},
                     {{"type", "ByteFallback"}},
                     {{"type", "Fuse"}}};
    if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    json_["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
    Json unknown = nullptr;
    bool bytes = false;
    for (size_t id = 0; id < vocab_.tokens.size(); ++id) {
      if (type_of(id) == Type::kUnknown) unknown = vocab_.tokens[id];
      bytes = bytes || type_of(id) == Type::kByte;
    }
    if (vocab_.unknown_id) unknown = vocab_.tokens[static_cast<size_t>(*vocab_.unknown_id)];
    json_["model"] = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", unknown},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", true},
                      {"byte_fallback", bytes},
                      {"ignore_merges", false}};
    scored_merges(ranks);
  }

  // Every way to cut a token into two tokens is a merge; all of one score have one rank.
  void scored_merges(std::vector<uint32_t>& ranks) {
    merges_ = Json::array();
    const auto mergeable = [&](std::string_view token) {
      const auto at = ids_.find(token);
      return at != ids_.end() && type_of(at->second) == Type::kNormal;
    };
    std::vector<size_t> order;
    for (size_t id = 0; id < vocab_.tokens.size(); ++id) {
      if (type_of(id) != Type::kNormal) continue;
      if (vocab_.tokens[id].size() > kMaxScoredToken)
        throw_unsupported(fmt::format("{}: tokenizer.ggml.tokens: token {} has {} bytes, expected at most {}",
                                      source_, id, vocab_.tokens[id].size(), kMaxScoredToken));
      if (char_length(static_cast<unsigned char>(vocab_.tokens[id][0])) < vocab_.tokens[id].size())
        order.push_back(id);
    }
    if (!order.empty() && vocab_.scores.empty())
      corrupt("scores", "found no such key, which this kind merges by");
    for (size_t id : order)
      if (!std::isfinite(vocab_.scores[id]))
        corrupt("scores", fmt::format("found {} for token {}, expected a number", vocab_.scores[id], id));
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return vocab_.scores[a] > vocab_.scores[b]; });
    uint32_t rank = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      const std::string_view token = vocab_.tokens[order[i]];
      if (i > 0 && vocab_.scores[order[i]] != vocab_.scores[order[i - 1]])
        rank = static_cast<uint32_t>(ranks.size());
      for (size_t at = char_length(static_cast<unsigned char>(token[0])); at < token.size();
           at += char_length(static_cast<unsigned char>(token[at]))) {
        if (!mergeable(token.substr(0, at)) || !mergeable(token.substr(at))) continue;
        merges_.push_back({token.substr(0, at), token.substr(at)});
        ranks.push_back(rank);
      }
    }
  }

  const GgufVocab& vocab_;
  const std::string& source_;
  std::unordered_map<std::string_view, size_t> ids_;  // of all but unused tokens
  Json json_, merges_;
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_gguf(const GgufVocab& vocab, const std::string& source) {
  return Builder(vocab, source).run();
}

}  // namespace hoist::text
