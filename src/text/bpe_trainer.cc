#include "text/bpe_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <set>

#include "base/error.h"
#include "io/json_value.h"
#include "text/byte_alphabet.h"
#include "text/flat_map.h"
#include "text/pattern.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"
#include "text/vocab.h"

namespace hoist::text {
namespace {

using Json = io::JsonValue;

constexpr uint64_t kMaxWords = 0x7FFFFFFF;

struct Word {
  uint64_t begin;  // of its symbols in the common list; they shrink in place
  uint32_t length;
  uint64_t count;
};

// Counts of adjacent pairs over all words, and in which words each occurs (once did, at least).
class PairTable {
 public:
  struct Pair {
    uint32_t left, right;
    uint64_t count = 0;
    std::vector<uint32_t> words;
    bool grew = false;     // since the last push
    bool learned = false;  // is in the list of merges
  };

  uint32_t index_of(uint32_t left, uint32_t right) {
    const uint64_t key = static_cast<uint64_t>(left) << 32 | right;
    if (const uint64_t* found = index_.find(key)) return static_cast<uint32_t>(*found);
    index_.insert(key, pairs_.size());
    pairs_.push_back({left, right});
    return static_cast<uint32_t>(pairs_.size() - 1);
  }
  void add(uint32_t left, uint32_t right, uint64_t count, uint32_t word) {
    const uint32_t at = index_of(left, right);
    Pair& pair = pairs_[at];
    pair.count += count;
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
    if (!pair.grew) {
      pair.grew = true;
      grown_.push_back(at);
    }
  }
  void remove(uint32_t left, uint32_t right, uint64_t count) { pairs_[index_of(left, right)].count -= count; }
  Pair& at(uint32_t i) { return pairs_[i]; }

  // The most frequent pair, smallest ids first among equals; false when none is left at `min_count`.
  bool pop(uint64_t min_count, uint32_t& best) {
    for (const uint32_t i : grown_) {
      pairs_[i].grew = false;
      push(i);
    }
    grown_.clear();
    while (!heap_.empty()) {
      const Entry top = heap_.top();
      heap_.pop();
      Pair& pair = pairs_[top.pair];
      if (pair.count < min_count) continue;
      if (pair.count != top.count) {  // it has shrunk since: back in line
        push(top.pair);
        continue;
      }
      best = top.pair;
      return true;
    }
    return false;
  }

 private:
  struct Entry {
    uint64_t count;
    uint32_t left, right, pair;
    bool operator<(const Entry& other) const {
      if (count != other.count) return count < other.count;
      if (left != other.left) return left > other.left;
      return right > other.right;
    }
  };
  void push(uint32_t i) { heap_.push({pairs_[i].count, pairs_[i].left, pairs_[i].right, i}); }

  std::vector<Pair> pairs_;
  FlatMap index_;
  std::vector<uint32_t> grown_;
  std::priority_queue<Entry> heap_;
};

Json added_token(int32_t id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json tokenizer_file(Json added, Json normalizer, Json pre_tokenizer, Json decoder, Json vocab, Json merges) {
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", false}};
  model["vocab"] = std::move(vocab);
  model["merges"] = std::move(merges);
  Json file = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  file["added_tokens"] = std::move(added);
  file["normalizer"] = std::move(normalizer);
  file["pre_tokenizer"] = std::move(pre_tokenizer);
  file["post_processor"] = nullptr;
  file["decoder"] = std::move(decoder);
  file["model"] = std::move(model);
  return file;
}

}  // namespace

struct BpeTrainer::State {
  BpeTrainerOptions options;
  Pattern split = Pattern::regex(kGpt2Regex, "trainer");
  Vocab words;  // word -> index into `counts`
  std::vector<uint64_t> counts;
  std::vector<Span> spans;
};

BpeTrainer::BpeTrainer(BpeTrainerOptions options) : state_(std::make_unique<State>()) {
  const std::set<std::string> distinct(options.special_tokens.begin(), options.special_tokens.end());
  for (const std::string& token : options.special_tokens) {
    if (token.empty() || !is_utf8(token)) throw_invalid("special token: found an empty or ill-formed one");
    const bool is_byte = char_length(static_cast<unsigned char>(token[0])) == token.size() &&
                         byte_of_char(decode_char(token, 0)) >= 0;
    if (is_byte) throw_invalid(fmt::format("special token '{}': it is a token of the byte alphabet", token));
  }
  if (distinct.size() != options.special_tokens.size()) throw_invalid("special tokens: one is given twice");
  const int64_t least = 256 + static_cast<int64_t>(options.special_tokens.size());
  if (options.vocab_size < least || options.vocab_size > (1 << 24)) {
    throw_invalid(fmt::format("vocab_size: found {}, expected {} to {}", options.vocab_size, least, 1 << 24));
  }
  options.min_frequency = std::max<uint64_t>(options.min_frequency, 1);
  if (options.split == BpeSplit::kQwen2) state_->split = Pattern::regex(kQwen2Regex, "trainer");
  state_->options = std::move(options);
}

BpeTrainer::~BpeTrainer() = default;

void BpeTrainer::add(std::string_view document) {
  if (document.size() > UINT32_MAX) throw_invalid("document: more than 4 GiB in one piece");
  State& state = *state_;
  std::string repaired;
  if (!is_utf8(document)) {
    repaired = repair_utf8(document);
    document = repaired;
  }
  if (state.options.split == BpeSplit::kQwen2) {
    repaired = normalize(document, NormalForm::kNfc);
    document = repaired;
  }
  state.spans.clear();
  StepBudget unused = StepBudget::for_text(0);  // the scanner needs none
  state.split.find(document, unused, state.spans);
  for (const Span& span : state.spans) {
    const std::string_view word = document.substr(span.begin, span.end - span.begin);
    if (word.empty()) continue;
    const int32_t known = state.words.find(word);
    if (known != Vocab::kNone) {
      ++state.counts[static_cast<size_t>(known)];
      continue;
    }
    if (state.counts.size() >= kMaxWords) {
      throw Error(ErrorCode::kResourceExhausted,
                  fmt::format("trainer: more than {} distinct words", kMaxWords));
    }
    state.words.add(word, state.counts.size());
    state.counts.push_back(1);
  }
}

std::string BpeTrainer::train() {
  State& state = *state_;
  const BpeTrainerOptions& options = state.options;

  // Ids: special tokens, then the byte alphabet in code point order, then merges. `tokens` has their
  // spelling.
  std::vector<std::string> tokens = options.special_tokens;
  uint32_t id_of_byte[256];
  for (uint32_t c = 0; c < 512; ++c) {
    const int byte = byte_of_char(c);
    if (byte < 0) continue;
    id_of_byte[byte] = static_cast<uint32_t>(tokens.size());
    tokens.emplace_back();
    append_char(tokens.back(), c);
  }
  Vocab spelled;
  for (size_t id = 0; id < tokens.size(); ++id) spelled.add(tokens[id], id);

  std::vector<uint32_t> symbols;
  std::vector<Word> words;
  words.reserve(state.counts.size());
  if (const std::string wrong = state.words.finish(); !wrong.empty()) throw_invalid("trainer: " + wrong);
  PairTable pairs;
  for (size_t w = 0; w < state.counts.size(); ++w) {
    const std::string_view bytes = state.words.token(static_cast<int32_t>(w));
    words.push_back({symbols.size(), static_cast<uint32_t>(bytes.size()), state.counts[w]});
    for (const char byte : bytes) symbols.push_back(id_of_byte[static_cast<unsigned char>(byte)]);
    const uint32_t* symbol = symbols.data() + words.back().begin;
    for (uint32_t i = 0; i + 1 < words.back().length; ++i) {
      pairs.add(symbol[i], symbol[i + 1], state.counts[w], static_cast<uint32_t>(w));
    }
  }

  Json merges = Json::array();
  size_t learned = 0;
  const auto first = static_cast<int32_t>(tokens.size());
  const int32_t wanted = options.vocab_size - first;
  uint32_t best = 0;
  while (static_cast<int32_t>(tokens.size()) < options.vocab_size && pairs.pop(options.min_frequency, best)) {
    const uint32_t left = pairs.at(best).left, right = pairs.at(best).right;
    const std::vector<uint32_t> places = std::move(pairs.at(best).words);
    const std::string spelling = tokens[left] + tokens[right];
    int32_t merged = spelled.find(spelling);  // the same string may be reached along two ways
    if (merged >= 0 && static_cast<size_t>(merged) < options.special_tokens.size()) {
      pairs.at(best).count = 0;  // ordinary text must not become a special token
      continue;
    }
    if (merged == Vocab::kNone) {
      merged = static_cast<int32_t>(tokens.size());
      spelled.add(spelling, tokens.size());
      tokens.push_back(spelling);
    }
    // A pair can come back, when its left or right token is reached along another way; its rank stays.
    if (!pairs.at(best).learned) {
      merges.push_back({tokens[left], tokens[right]});
      ++learned;
    }
    pairs.at(best).learned = true;
    const auto id = static_cast<uint32_t>(merged);
    for (const uint32_t w : places) {
      Word& word = words[w];
      uint32_t* symbol = symbols.data() + word.begin;
      uint32_t kept = 0;
      for (uint32_t i = 0; i < word.length;) {
        if (i + 1 == word.length || symbol[i] != left || symbol[i + 1] != right) {
          symbol[kept++] = symbol[i++];
          continue;
        }
        if (kept > 0) {
          pairs.remove(symbol[kept - 1], left, word.count);
          pairs.add(symbol[kept - 1], id, word.count, w);
        }
        if (i + 2 < word.length) {
          pairs.remove(right, symbol[i + 2], word.count);
          pairs.add(id, symbol[i + 2], word.count, w);
        }
        symbol[kept++] = id;
        i += 2;
      }
      word.length = kept;
    }
    pairs.at(best).count = 0;
    if (options.progress && (learned % 64 == 0)) {
      options.progress(static_cast<int32_t>(tokens.size()) - first, wanted);
    }
  }
  if (options.progress) options.progress(static_cast<int32_t>(tokens.size()) - first, wanted);

  Json added = Json::array(), vocab = Json::object();
  for (size_t i = 0; i < options.special_tokens.size(); ++i) {
    added.push_back(added_token(static_cast<int32_t>(i), options.special_tokens[i]));
  }
  for (size_t id = 0; id < tokens.size(); ++id) vocab.append(tokens[id], id);
  auto byte_level = [](bool regex) {
    return Json{
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", regex}};
  };
  Json normalizer = nullptr, pre_tokenizer = byte_level(true);
  if (options.split == BpeSplit::kQwen2) {
    normalizer = {{"type", "NFC"}};
    Json cut = {{"type", "Split"},
                {"pattern", {{"Regex", kQwen2Regex}}},
                {"behavior", "Isolated"},
                {"invert", false}};
    pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", Json::array({cut, byte_level(false)})}};
  }
  return tokenizer_file(std::move(added), normalizer, pre_tokenizer, byte_level(true), std::move(vocab),
                        std::move(merges))
             .dump(1) +
         "\n";
}

std::string train_bpe(std::span<const std::string> documents, const BpeTrainerOptions& options) {
  BpeTrainer trainer(options);
  for (const std::string& document : documents) trainer.add(document);
  return trainer.train();
}

std::string make_character_tokenizer(std::string_view text) {
  const std::string repaired = is_utf8(text) ? std::string() : repair_utf8(text);
  if (!repaired.empty()) text = repaired;
  if (text.empty()) throw_invalid("text: found none, expected at least one character");
  std::set<uint32_t> characters;
  for (size_t at = 0; at < text.size(); at += char_length(static_cast<unsigned char>(text[at]))) {
    characters.insert(decode_char(text, at));
  }
  Json vocab = Json::object();
  int32_t id = 0;
  for (const uint32_t c : characters) {
    std::string token;
    append_char(token, c);
    vocab.append(token, id++);
  }
  return tokenizer_file(Json::array(), nullptr, nullptr, {{"type", "Fuse"}}, std::move(vocab), Json::array())
             .dump(1) +
         "\n";
}

}  // namespace hoist::text
