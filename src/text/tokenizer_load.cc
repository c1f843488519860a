// tokenizer.json to Tokenizer::Impl: every section read, checked and refused by name where we do not do it.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "text/json_object.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_load.h"
#include "text/tokenizer_ranked.h"
#include "text/utf8.h"

namespace hoist::text {
namespace {

constexpr uint64_t kMaxFile = uint64_t{256} << 20;
constexpr size_t kMaxDepth = 64, kMaxSteps = 64, kMaxDecoderLiteral = 1024;
constexpr size_t kMaxAddedBytes = size_t{64} << 20;  // added tokens in normalised form, all together

std::string need_character(const JsonObject& object, std::string_view key) {
  const std::string_view text = object.need_string(key);
  if (text.empty() || char_length(static_cast<unsigned char>(text[0])) != text.size()) {
    throw_corrupt(fmt::format("{}: found '{}', expected one character", object.path_of(key), text));
  }
  return std::string(text);
}

// Calls `read` for a component, or for each member of a (nested) Sequence, in order. Depth is bounded by the
// parser's.
template <class Read>
void each_component(JsonElement value, std::string path, std::string_view list_key, size_t& count,
                    Read read) {
  const JsonObject object(value, std::move(path));
  if (object.need_string("type") == "Sequence") {
    object.only({"type", list_key});
    size_t i = 0;
    for (const JsonElement member : object.need_array(list_key)) {
      each_component(member, fmt::format("{}[{}]", object.path_of(list_key), i++), list_key, count, read);
    }
    return;
  }
  if (++count > kMaxSteps) throw_unsupported(fmt::format("{}: more than {} steps", object.path(), kMaxSteps));
  read(object);
}

Pattern read_pattern(const JsonObject& parent) {
  const JsonObject object(parent.need("pattern"), parent.path_of("pattern"));
  object.only({"String", "Regex"});
  const bool is_regex = object.find("Regex").has_value();
  if (is_regex == object.find("String").has_value()) {
    throw_corrupt(object.path() + ": expected either String or Regex");
  }
  if (is_regex) return Pattern::regex(object.need_string("Regex"), object.path_of("Regex"));
  return Pattern::literal(std::string(object.need_string("String")));
}

SplitBehavior read_behavior(const JsonObject& object, std::string_view otherwise) {
  const std::string_view name =
      otherwise.empty() ? object.need_string("behavior") : object.string_or("behavior", otherwise);
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  throw_corrupt(fmt::format(
      "{}: found '{}', expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
      object.path_of("behavior"), name));
}

PrependScheme read_prepend_scheme(const JsonObject& object) {
  object.only({"type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
  const bool prefix = object.bool_or("add_prefix_space", true);  // the older spelling
  const std::string_view name = object.string_or("prepend_scheme", prefix ? "always" : "never");
  if (!prefix && name != "never") {
    throw_corrupt(fmt::format("{}: found '{}' with add_prefix_space false, expected never",
                              object.path_of("prepend_scheme"), name));
  }
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  throw_corrupt(
      fmt::format("{}: found '{}', expected always, first or never", object.path_of("prepend_scheme"), name));
}

NormalizerStep read_normalizer(const JsonObject& object) {
  using Kind = NormalizerStep::Kind;
  const std::string_view type = object.need_string("type");
  NormalizerStep step{};
  const auto plain = [&](Kind kind) {
    object.only({"type"});
    step.kind = kind;
  };
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    plain(Kind::kForm);
    step.form = type == "NFC"    ? NormalForm::kNfc
                : type == "NFD"  ? NormalForm::kNfd
                : type == "NFKC" ? NormalForm::kNfkc
                                 : NormalForm::kNfkd;
  } else if (type == "Lowercase") {
    plain(Kind::kLowercase);
  } else if (type == "StripAccents") {
    plain(Kind::kStripAccents);
  } else if (type == "ByteLevel") {
    plain(Kind::kByteLevel);
  } else if (type == "Strip") {
    object.only({"type", "strip_left", "strip_right"});
    step.kind = Kind::kStrip;
    step.strip_left = object.need_bool("strip_left");
    step.strip_right = object.need_bool("strip_right");
  } else if (type == "Prepend") {
    object.only({"type", "prepend"});
    step.kind = Kind::kPrepend;
    step.content = object.need_string("prepend");
  } else if (type == "Replace") {
    object.only({"type", "pattern", "content"});
    step.kind = Kind::kReplace;
    step.pattern = read_pattern(object);
    step.content = object.need_string("content");
  } else if (type == "Precompiled") {
    object.only({"type", "precompiled_charsmap"});
    step.kind = Kind::kCharsmap;
    if (const std::string wrong = step.charsmap.load(object.need_string("precompiled_charsmap"));
        !wrong.empty())
      throw_corrupt(object.path_of("precompiled_charsmap") + ": " + wrong);
  } else {
    unknown_type(
        object,
        "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend, ByteLevel, "
        "BertNormalizer, Precompiled");
  }
  return step;
}

void read_normalizers(const JsonObject& object, std::vector<NormalizerStep>& steps) {
  using Kind = NormalizerStep::Kind;
  if (object.need_string("type") != "BertNormalizer") return steps.push_back(read_normalizer(object));
  object.only({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
  const bool lowercase = object.need_bool("lowercase");
  const auto add = [&](bool wanted, Kind kind) {
    if (!wanted) return;
    NormalizerStep step{};
    step.kind = kind;
    steps.push_back(std::move(step));
  };
  add(object.need_bool("clean_text"), Kind::kBertClean);
  add(object.need_bool("handle_chinese_chars"), Kind::kBertChinese);
  add(object.bool_or("strip_accents", lowercase), Kind::kBertAccents);
  add(lowercase, Kind::kLowercase);
}

PreTokenizerStep read_pre_tokenizer(const JsonObject& object) {
  using Kind = PreTokenizerStep::Kind;
  const std::string_view type = object.need_string("type");
  PreTokenizerStep step{};
  if (type == "ByteLevel") {
    object.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    step.kind = Kind::kByteLevel;
    step.add_prefix_space = object.need_bool("add_prefix_space");
    step.use_regex = object.bool_or("use_regex", true);
    if (step.use_regex) step.pattern = Pattern::regex(kGpt2Regex, object.path());
  } else if (type == "Metaspace") {
    step.kind = Kind::kMetaspace;
    step.prepend_scheme = read_prepend_scheme(object);
    step.pattern = Pattern::literal(need_character(object, "replacement"));
    step.split = object.bool_or("split", true);
  } else if (type == "Whitespace" || type == "WhitespaceSplit") {
    object.only({"type"});
    step.kind = type == "Whitespace" ? Kind::kWhitespace : Kind::kWhitespaceSplit;
  } else if (type == "Digits") {
    object.only({"type", "individual_digits"});
    step.kind = Kind::kDigits;
    step.individual_digits = object.need_bool("individual_digits");
  } else if (type == "Punctuation") {
    object.only({"type", "behavior"});
    step.kind = Kind::kPunctuation;
    step.behavior = read_behavior(object, "Isolated");
  } else if (type == "CharDelimiterSplit") {
    object.only({"type", "delimiter"});
    step.kind = Kind::kSplit;
    step.pattern = Pattern::literal(need_character(object, "delimiter"));
    step.behavior = SplitBehavior::kRemoved;
  } else if (type == "Split") {
    object.only({"type", "pattern", "behavior", "invert"});
    step.kind = Kind::kSplit;
    step.pattern = read_pattern(object);
    step.behavior = read_behavior(object, "");
    step.invert = object.need_bool("invert");
  } else {
    unknown_type(object,
                 "Sequence, ByteLevel, Metaspace, Whitespace, WhitespaceSplit, Digits, Punctuation, "
                 "CharDelimiterSplit, Split, BertPreTokenizer");
  }
  return step;
}

void read_pre_tokenizers(const JsonObject& object, std::vector<PreTokenizerStep>& steps) {
  if (object.need_string("type") != "BertPreTokenizer") return steps.push_back(read_pre_tokenizer(object));
  object.only({"type"});
  PreTokenizerStep spaces{}, punctuation{};  // words by white space, and each mark by itself
  spaces.kind = PreTokenizerStep::Kind::kWhitespaceSplit;
  punctuation.kind = PreTokenizerStep::Kind::kPunctuation;
  steps.push_back(std::move(spaces));
  steps.push_back(std::move(punctuation));
}

DecoderStep read_decoder(const JsonObject& object) {
  using Kind = DecoderStep::Kind;
  const std::string_view type = object.need_string("type");
  DecoderStep step{};
  if (type == "ByteLevel") {
    object.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    step.kind = Kind::kByteLevel;
  } else if (type == "Metaspace") {
    step.kind = Kind::kMetaspace;
    step.drop_first = read_prepend_scheme(object) != PrependScheme::kNever;
    step.replacement = need_character(object, "replacement");
  } else if (type == "BPEDecoder") {
    object.only({"type", "suffix"});
    step.kind = Kind::kBpe;
    step.suffix = object.need_string("suffix");
    if (step.suffix.empty())
      throw_unsupported(object.path_of("suffix") + ": found an empty one, expected text");
  } else if (type == "ByteFallback" || type == "Fuse") {
    object.only({"type"});
    step.kind = type == "Fuse" ? Kind::kFuse : Kind::kByteFallback;
  } else if (type == "Strip") {
    object.only({"type", "content", "start", "stop"});
    step.kind = Kind::kStrip;
    step.strip = need_character(object, "content");
    step.start = object.need_uint("start", UINT32_MAX);
    step.stop = object.need_uint("stop", UINT32_MAX);
  } else if (type == "Replace") {
    object.only({"type", "pattern", "content"});
    step.kind = Kind::kReplace;
    step.pattern = read_pattern(object);
    step.content = object.need_string("content");
    if (step.pattern->literal_text().size() > kMaxDecoderLiteral) {
      throw_unsupported(fmt::format("{}: String of {} bytes, expected at most {}", object.path_of("pattern"),
                                    step.pattern->literal_text().size(), kMaxDecoderLiteral));
    }
  } else if (type == "WordPiece") {
    object.only({"type", "prefix", "cleanup"});
    step.kind = Kind::kWordPiece;
    step.prefix = object.need_string("prefix");
    step.cleanup = object.need_bool("cleanup");
  } else {
    unknown_type(object,
                 "Sequence, ByteLevel, Metaspace, BPEDecoder, ByteFallback, Fuse, Strip, Replace, WordPiece");
  }
  return step;
}

}  // namespace

// Friend of Tokenizer, so that it can fill the Impl.
class TokenizerLoader {
 public:
  TokenizerLoader(Tokenizer::Impl& impl, std::string name) : impl_(impl), name_(std::move(name)) {}

  static std::unique_ptr<Tokenizer> load(std::string json, std::string_view name,
                                         const std::vector<uint32_t>* ranks) {
    auto impl = std::make_unique<Tokenizer::Impl>();
    TokenizerLoader loader(*impl, std::string(name));
    loader.ranks_ = ranks;
    loader.run(json);
    impl->json = std::move(json);
    return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(impl)));
  }

  void run(std::string_view json) {
    if (json.size() > kMaxFile) {
      throw_unsupported(fmt::format("{}: {} bytes, expected at most {}", name_, json.size(), kMaxFile));
    }
    simdjson::dom::parser parser;
    JsonElement root;
    auto error = parser.allocate(std::max<size_t>(json.size(), 64), kMaxDepth);
    if (!error) error = parser.parse(json.data(), json.size()).get(root);
    if (error)
      throw_corrupt(fmt::format("{}: not readable as JSON: {}", name_, simdjson::error_message(error)));
    const JsonObject file(root, name_ + ":");
    file.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
               "post_processor", "decoder", "model"});
    if (const std::string_view version = file.string_or("version", "1.0"); version != "1.0") {
      throw_unsupported(fmt::format("{}: found '{}', expected 1.0", file.path_of("version"), version));
    }
    read_model(file, name_, ranks_, impl_.model);
    size_t count = 0;
    if (const auto value = file.find("normalizer")) {
      each_component(*value, file.path_of("normalizer"), "normalizers", count,
                     [&](const JsonObject& o) { read_normalizers(o, impl_.normalizer.steps); });
    }
    count = 0;
    if (const auto value = file.find("pre_tokenizer")) {
      each_component(*value, file.path_of("pre_tokenizer"), "pretokenizers", count,
                     [&](const JsonObject& o) { read_pre_tokenizers(o, impl_.pre_tokenizer.steps); });
    }
    count = 0;
    if (const auto value = file.find("decoder")) {
      impl_.has_decoder = true;
      each_component(*value, file.path_of("decoder"), "decoders", count,
                     [&](const JsonObject& o) { impl_.decoder.push_back(read_decoder(o)); });
    }
    read_added_tokens(file);
    count = 0;
    if (const auto value = file.find("post_processor")) {
      bool adds = false;
      each_component(*value, file.path_of("post_processor"), "processors", count,
                     [&](const JsonObject& o) { read_post_processor(o, adds); });
    }
  }

 private:
  using Piece = Tokenizer::Impl::TemplatePiece;

  void read_added_tokens(const JsonObject& file) {
    impl_.added_of_id.assign(static_cast<size_t>(impl_.vocab().id_end()), 0);
    const auto value = file.find("added_tokens");
    if (!value) return;
    const std::string path = file.path_of("added_tokens");
    size_t i = 0, bytes = 0;
    int32_t next_id = static_cast<int32_t>(impl_.vocab().count());
    for (const JsonElement element : file.need_array("added_tokens")) {
      const JsonObject object(element, fmt::format("{}[{}]", path, i++));
      object.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
      AddedToken token;
      token.id = static_cast<int32_t>(object.need_uint("id", INT32_MAX - 1));
      token.content = object.need_string("content");
      token.single_word = object.need_bool("single_word");
      token.lstrip = object.need_bool("lstrip");
      token.rstrip = object.need_bool("rstrip");
      token.normalized = object.need_bool("normalized");
      token.special = object.need_bool("special");
      if (token.content.empty()) continue;  // the reference ignores these
      add(object, std::move(token), next_id, bytes);
    }
    if (const std::string wrong = impl_.added_ids.finish(); !wrong.empty())
      throw_corrupt(path + ": " + wrong);
    impl_.raw_matcher.build();
    impl_.normalized_matcher.build();
  }

  void add(const JsonObject& object, AddedToken token, int32_t& next_id, size_t& bytes) {
    const int32_t in_model = impl_.vocab().find(token.content);
    const auto index = static_cast<int32_t>(impl_.added.size());
    if (!impl_.added_ids.add(token.content, static_cast<uint64_t>(index))) {
      throw_corrupt(fmt::format("{}: found '{}' a second time", object.path_of("content"), token.content));
    }
    // The reference ignores the id written here and numbers by this rule. Where they differ, either reading
    // could be the one the model was trained with, so neither is taken.
    const int32_t expected = in_model != Vocab::kNone ? in_model : next_id++;
    if (token.id != expected) {
      throw_corrupt(fmt::format(
          "{}: found {} for '{}', expected {} ({})", object.path_of("id"), token.id, token.content, expected,
          in_model != Vocab::kNone ? "its id in model.vocab" : "the next free id after model.vocab"));
    }
    if (in_model == Vocab::kNone && impl_.vocab().has(token.id)) {
      throw_corrupt(fmt::format("{}: {} is the id of '{}' in model.vocab", object.path_of("id"), token.id,
                                impl_.vocab().token(token.id)));
    }
    const auto at = static_cast<size_t>(token.id);
    if (at >= impl_.added_of_id.size()) impl_.added_of_id.resize(at + 1, 0);
    impl_.added_of_id[at] = static_cast<uint32_t>(index) + 1;
    std::string form = token.content;
    if (token.normalized) {
      bool at_origin = true;
      form = impl_.normalizer.run(token.content, budget_, at_origin);
    }
    bytes += form.size();
    if (bytes > kMaxAddedBytes) {
      throw_unsupported(fmt::format("{}: the added tokens make more than {} bytes when normalized",
                                    object.path(), kMaxAddedBytes));
    }
    AddedTokenMatcher& matcher = token.normalized ? impl_.normalized_matcher : impl_.raw_matcher;
    if (form.empty() || !matcher.add(form, token, index)) {
      throw_corrupt(fmt::format("{}: found '{}', which normalizes to '{}' {}", object.path_of("content"),
                                token.content, form, form.empty() ? "" : "as another added token does"));
    }
    impl_.added_decoded.push_back(std::move(form));
    impl_.added.push_back(std::move(token));
  }

  int32_t known_id(uint64_t id, const std::string& path) const {
    const auto known = static_cast<int32_t>(std::min<uint64_t>(id, INT32_MAX));
    const bool added = id < impl_.added_of_id.size() && impl_.added_of_id[id] != 0;
    if (!added && !impl_.vocab().has(known))
      throw_corrupt(fmt::format("{}: found {}, expected the id of a token", path, id));
    return known;
  }

  // One list of a TemplateProcessing: special tokens and sequences in order.
  void read_pieces(const JsonObject& object, std::string_view key, std::vector<Piece>& out) {
    const JsonObject specials(object.need("special_tokens"), object.path_of("special_tokens"));
    out.clear();
    size_t i = 0, seen[2] = {0, 0};
    for (const JsonElement element : object.need_array(key)) {
      const JsonObject piece(element, fmt::format("{}[{}]", object.path_of(key), i++));
      piece.only({"Sequence", "SpecialToken"});
      if (const auto sequence = piece.find("Sequence")) {
        const JsonObject inner(*sequence, piece.path_of("Sequence"));
        const std::string_view id = inner.need_string("id");
        if (id != "A" && id != "B") {
          throw_corrupt(fmt::format("{}: found '{}', expected A or B", inner.path_of("id"), id));
        }
        ++seen[id == "B"];
        out.push_back({id == "A" ? Piece::kFirst : Piece::kSecond, read_type(inner)});
        continue;
      }
      const JsonObject inner(piece.need("SpecialToken"), piece.path_of("SpecialToken"));
      const JsonObject special(specials.need(inner.need_string("id")),
                               specials.path_of(inner.need_string("id")));
      for (const JsonElement id : special.need_array("ids")) {
        uint64_t number = 0;
        if (id.get(number)) json_mismatch(special.path_of("ids"), id, "a whole number from 0");
        out.push_back({known_id(number, special.path_of("ids")), read_type(inner)});
      }
    }
    const bool two = key == "pair";
    if (seen[0] != 1 || seen[1] != two) {
      throw_unsupported(
          fmt::format("{}: expected the sequence{} once", object.path_of(key), two ? "s A and B" : " A"));
    }
  }

  static int32_t read_type(const JsonObject& object) {
    return object.find("type_id") ? static_cast<int32_t>(object.need_uint("type_id", INT32_MAX)) : 0;
  }

  void read_template(const JsonObject& object) {
    object.only({"type", "single", "pair", "special_tokens"});
    read_pieces(object, "single", impl_.single);
    if (object.find("pair")) {
      read_pieces(object, "pair", impl_.pair);
    }
    size_t at = 0;
    while (impl_.single[at].id != Piece::kFirst) impl_.prefix.push_back(impl_.single[at++].id);
    while (++at < impl_.single.size()) impl_.suffix.push_back(impl_.single[at].id);
  }

  int32_t read_pair_id(const JsonObject& object, std::string_view key) const {
    const JsonArray pair = object.need_array(key);
    uint64_t id = 0;
    if (pair.size() != 2 || pair.at(1).get(id))
      throw_corrupt(object.path_of(key) + ": expected a token and its id");
    return known_id(id, object.path_of(key));
  }

  void read_post_processor(const JsonObject& object, bool& adds) {
    const std::string_view type = object.need_string("type");
    if (type == "ByteLevel") {  // moves offsets, which we do not give
      object.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
      return;
    }
    if (adds) throw_unsupported(object.path() + ": a second step that adds tokens");
    adds = true;
    if (type == "TemplateProcessing") {
      read_template(object);
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      object.only({"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
      const int32_t cls = read_pair_id(object, "cls"), sep = read_pair_id(object, "sep");
      impl_.prefix.push_back(cls);
      impl_.suffix.push_back(sep);
      impl_.single = {{cls, 0}, {Piece::kFirst, 0}, {sep, 0}};
      impl_.pair = {{cls, 0}, {Piece::kFirst, 0}, {sep, 0}};
      if (type == "BertProcessing") {
        impl_.pair.insert(impl_.pair.end(), {{Piece::kSecond, 1}, {sep, 1}});
      } else {
        impl_.pair.insert(impl_.pair.end(), {{sep, 0}, {Piece::kSecond, 0}, {sep, 0}});
      }
    } else {
      unknown_type(object, "Sequence, ByteLevel, TemplateProcessing, RobertaProcessing, BertProcessing");
    }
  }

  Tokenizer::Impl& impl_;
  StepBudget budget_ = StepBudget::for_text(1 << 16);  // for normalizing added tokens
  std::string name_;
  const std::vector<uint32_t>* ranks_ = nullptr;
};

std::unique_ptr<Tokenizer> tokenizer_from_ranked_json(std::string json, const std::string& name,
                                                      const std::vector<uint32_t>* ranks) {
  return TokenizerLoader::load(std::move(json), name, ranks);
}

std::unique_ptr<Tokenizer> Tokenizer::from_json(std::string json, std::string_view name) {
  return TokenizerLoader::load(std::move(json), name, nullptr);
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::string& path) {
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  const std::string file = folder ? (std::filesystem::path(path) / "tokenizer.json").string() : path;
  std::ifstream in(file, std::ios::binary);
  if (!in) throw_not_found(file + ": cannot be opened");
  const uint64_t size = std::filesystem::file_size(file, ignored);
  if (!ignored && size > kMaxFile) {
    throw_unsupported(fmt::format("{}: {} bytes, expected at most {}", file, size, kMaxFile));
  }
  std::string json;
  char buffer[1 << 16];
  while (in.read(buffer, sizeof(buffer)), in.gcount() > 0) {
    json.append(buffer, static_cast<size_t>(in.gcount()));
    if (json.size() > kMaxFile) throw_unsupported(fmt::format("{}: more than {} bytes", file, kMaxFile));
  }
  if (in.bad()) throw_io(file, errno);
  return from_json(std::move(json), file);
}

}  // namespace hoist::text
