#include "train/sample_data.h"

#include <algorithm>

#include "base/error.h"
#include "io/files.h"

namespace hoist::train {

namespace {

std::string plural(int64_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

std::string account(const std::string& path, const data::SampleSet& set, int64_t max_length) {
  const data::SampleReport& r = set.report;
  std::string text = path + ": " + plural(r.samples, "sample") + " of " + plural(r.files, "file") + ", " +
                     std::to_string(set.train.tokens() + set.validation.tokens()) + " tokens, " +
                     std::to_string(set.train.trained_tokens() + set.validation.trained_tokens()) +
                     " of them with loss";
  if (set.validation.size()) text += "; " + std::to_string(set.validation.size()) + " held out";
  if (r.too_long)
    text += "; left out " + std::to_string(r.too_long) + " longer than " + std::to_string(max_length) +
            " tokens (the longest has " + std::to_string(r.longest) + ")";
  if (r.untrained) text += "; left out " + std::to_string(r.untrained) + " without a token to train on";
  if (r.split) text += "; " + plural(r.split, "conversation") + " became a sample for each answer";
  if (r.truncated) text += "; stopped at data.max_bytes";
  return text;
}

}  // namespace

SampleData::SampleData(const Recipe& recipe, const text::Tokenizer& tokenizer, const decode::ChatSource& chat,
                       int32_t end, const std::function<void(const std::string&)>& note,
                       const std::function<void(int64_t)>& progress) {
  if (!recipe.weights.empty() && recipe.weights.size() != recipe.paths.size())
    throw_invalid("data.weights: found " + std::to_string(recipe.weights.size()) + " numbers, expected " +
                  std::to_string(recipe.paths.size()) + ", one for each of data.paths");
  const data::SampleEncoder encoder(tokenizer, chat.chat ? &*chat.chat : nullptr, end, chat.problem);
  const int64_t seq = recipe.sequence();
  io::Hasher hasher;
  int64_t bytes = 0;
  for (const std::string& path : recipe.paths) {
    data::SampleSetOptions options;
    options.paths = {path};
    options.format = data::parse_sample_format(recipe.format);
    options.field = recipe.field;
    options.validation = recipe.validation;
    options.max_length = seq + 1;  // the last id is a target only
    options.max_bytes = recipe.max_bytes - bytes;
    options.scratch = recipe.folder;
    if (options.max_bytes <= 0)
      throw_invalid("data.max_bytes: found " + std::to_string(recipe.max_bytes) +
                    ", expected more: nothing is left for " + path);
    auto so_far = [&](int64_t n) {
      if (progress) progress(bytes + n);
    };
    std::vector<data::TokenSample> first;
    sets_.push_back(data::read_samples(options, encoder, so_far, &first, kShown));
    bytes += sets_.back().report.bytes;
    for (data::TokenSample& s : first)
      if (first_.size() < kShown) first_.push_back(std::move(s));
    if (note) note(account(path, sets_.back(), options.max_length));
    for (const data::SampleStore* s : {&sets_.back().train, &sets_.back().validation})
      hasher.add(s->hash().data(), s->hash().size());
  }
  hash_ = hasher.hex();
  // By size; a source too small to have a place in a block of draws gets one.
  double total = 0;
  for (const data::SampleSet& set : sets_) total += static_cast<double>(set.train.size());
  const double least = total / (data::Mixture::kBlock / 2);
  std::vector<data::SampleSource> sources;
  for (size_t i = 0; i < sets_.size(); ++i)
    sources.push_back({&sets_[i].train, recipe.weights.empty()
                                            ? std::max(least, static_cast<double>(sets_[i].train.size()))
                                            : recipe.weights[i]});
  batches_ = std::make_unique<data::PackedBatches>(std::move(sources), seq, recipe.pack,
                                                   static_cast<uint64_t>(recipe.seed));
  for (const data::SampleSet& set : sets_) evaluations_.emplace_back(set.validation, seq);
  if (note) {
    const int full = static_cast<int>(100 * batches_->fullness(64) + 0.5);
    note("rows of " + std::to_string(seq) + " tokens, " + std::to_string(full) + " % full");
  }
}

int64_t SampleData::evaluation_rows() const {
  int64_t n = 0;
  for (const data::PackedEvaluation& e : evaluations_) n += e.rows();
  return n;
}

void SampleData::fill_evaluation(int64_t row, const data::PackedRow& to) const {
  for (const data::PackedEvaluation& e : evaluations_) {
    if (row < e.rows()) return e.fill(row, to);
    row -= e.rows();
  }
  evaluations_.back().fill(evaluations_.back().rows(), to);
}

int64_t SampleData::train_tokens() const {
  int64_t n = 0;
  for (const data::SampleSet& s : sets_) n += s.train.tokens();
  return n;
}

int64_t SampleData::validation_tokens() const {
  int64_t n = 0;
  for (const data::SampleSet& s : sets_) n += s.validation.tokens();
  return n;
}

decode::ChatSource chat_template_of(const Recipe& recipe) {
  const std::string folder = !recipe.from.empty() ? recipe.from : recipe.tokenizer;
  if (recipe.chat_template.empty()) {
    decode::Model model;
    model.folder = folder;
    return decode::load_chat_template(model);
  }
  const std::string config = io::join_path(folder, "tokenizer_config.json");
  text::ChatTemplate::SpecialTokens tokens;
  if (io::path_exists(config))
    tokens = text::ChatTemplate::special_tokens_of(io::read_file(config, size_t{64} << 20), config);
  decode::ChatSource source;
  source.chat = text::ChatTemplate::from_text(io::read_file(recipe.chat_template, size_t{1} << 20), tokens,
                                              recipe.chat_template);
  return source;
}

}  // namespace hoist::train
