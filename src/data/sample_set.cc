#include "data/sample_set.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/corpus.h"
#include "data/json_items.h"
#include "data/line_reader.h"

namespace hoist::data {

namespace {

std::string_view without_zst(std::string_view path) {
  if (path.ends_with(".zst")) path.remove_suffix(4);
  return path;
}
// Lists of objects, and one object a line; a file of any other name is a text, one sample.
bool is_json(std::string_view path) { return without_zst(path).ends_with(".json"); }
bool is_lines(std::string_view path) {
  return without_zst(path).ends_with(".jsonl") || without_zst(path).ends_with(".ndjson");
}

class Reader {
 public:
  Reader(const SampleSetOptions& options, const SampleEncoder& encoder,
         const std::function<void(int64_t)>& progress, std::vector<TokenSample>* first, size_t first_count)
      : options_(options),
        encoder_(encoder),
        progress_(progress),
        first_(first),
        first_count_(first_count),
        every_(options.validation > 0 ? std::max<int64_t>(2, std::llround(1 / options.validation)) : 0),
        set_{SampleStore(options.scratch), SampleStore(options.scratch), {}} {}

  SampleSet read() {
    for (const std::string& pattern : options_.paths)
      for (const std::string& path : expand_glob(pattern)) {
        if (full()) break;
        ++set_.report.files;
        if (is_lines(path))
          lines(path);
        else if (is_json(path))
          items(path);
        else
          plain(path);
      }
    set_.train.finish();
    set_.validation.finish();
    if (set_.train.size() == 0) throw_invalid(problem());
    return std::move(set_);
  }

 private:
  bool full() {
    set_.report.truncated |= options_.max_bytes > 0 && set_.report.bytes >= options_.max_bytes;
    return set_.report.truncated;
  }

  std::string problem() const {
    const SampleReport& r = set_.report;
    std::string text = "data.paths: found no sample to train on in '" + options_.paths[0] + "'";
    if (r.too_long)
      text += "; " + std::to_string(r.too_long) + " were longer than " + std::to_string(options_.max_length) +
              " tokens (the longest " + std::to_string(r.longest) + ")";
    if (r.untrained) text += "; " + std::to_string(r.untrained) + " had no token to train on";
    return text;
  }

  void count(int64_t bytes) {
    const int64_t before = set_.report.bytes >> 22;
    set_.report.bytes += bytes;
    if (progress_ && set_.report.bytes >> 22 != before) progress_(set_.report.bytes);
  }

  void lines(const std::string& path) {
    LineReader reader(path);
    std::string_view line;
    while (!full() && reader.next(line)) {
      count(static_cast<int64_t>(line.size()) + 1);
      const size_t end = line.find_last_not_of(" \t");
      if (end == std::string_view::npos) continue;
      ++set_.report.lines;
      const std::string source = path + ":" + std::to_string(reader.line_number());
      add(parse_sample(line.substr(0, end + 1), source, options_.format, options_.field), source);
    }
  }

  void items(const std::string& path) {
    JsonItems list(path);
    std::string item;
    while (!full() && list.next(item)) {
      count(static_cast<int64_t>(item.size()));
      ++set_.report.lines;
      const std::string source = path + ":" + std::to_string(list.line_number());
      add(parse_sample(item, source, options_.format, options_.field), source);
    }
  }

  void plain(const std::string& path) {
    LineReader reader(path);
    Sample sample;
    std::string_view line;
    while (reader.next(line)) {
      count(static_cast<int64_t>(line.size()) + 1);
      if (sample.text.size() + line.size() > LineReader::kMaxLine)
        throw_invalid(path + ": found more than " + std::to_string(LineReader::kMaxLine) +
                      " bytes of plain text, expected a sample (or jsonl)");
      sample.text += line;
      sample.text += '\n';
    }
    if (!sample.text.empty()) add(sample, path);
  }

  void add(const Sample& sample, const std::string& source) {
    const std::vector<TokenSample> encoded = encoder_.encode(sample, source);
    set_.report.split += encoded.size() > 1;
    for (const TokenSample& s : encoded) {
      const auto length = static_cast<int64_t>(s.ids.size());
      set_.report.longest = std::max(set_.report.longest, length);
      if (options_.max_length > 0 && length > options_.max_length) {
        ++set_.report.too_long;
        continue;
      }
      // The first id is nobody's target.
      if (length < 2 || std::find(s.trained.begin() + 1, s.trained.end(), 1) == s.trained.end()) {
        ++set_.report.untrained;
        continue;
      }
      const bool held = every_ > 0 && set_.report.samples % every_ == every_ - 1;
      ++set_.report.samples;
      (held ? set_.validation : set_.train).add(s);
      if (first_ && first_->size() < first_count_) first_->push_back(s);
    }
  }

  const SampleSetOptions& options_;
  const SampleEncoder& encoder_;
  const std::function<void(int64_t)>& progress_;
  std::vector<TokenSample>* first_;
  size_t first_count_;
  int64_t every_;
  SampleSet set_;
};

}  // namespace

SampleSet read_samples(const SampleSetOptions& options, const SampleEncoder& encoder,
                       const std::function<void(int64_t)>& progress, std::vector<TokenSample>* first,
                       size_t first_count) {
  if (options.paths.empty()) throw_invalid("data.paths: found none, expected a file, a folder or a glob");
  if (!(options.validation >= 0 && options.validation <= 0.5))
    throw_invalid("data.validation: found " + std::to_string(options.validation) + ", expected 0 to 0.5");
  return Reader(options, encoder, progress, first, first_count).read();
}

}  // namespace hoist::data
