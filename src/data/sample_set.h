// SampleSet: fine-tuning data from files to stored samples, with an account of what was left out.
//
// Files are read line by line in sorted order (data/line_reader.h), each line parsed, tokenized and stored;
// never is a file or a data set in memory. A sample is left out, and counted, when it is longer than a row
// (one id more than train.seq) or no token of it carries loss. Every n-th sample is held out: which are
// depends on their number alone.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/sample.h"
#include "data/sample_encoder.h"
#include "data/sample_store.h"

namespace hoist::data {

struct SampleSetOptions {
  // Files, folders or globs (data/corpus.h): .jsonl, .json (a list of objects), else plain text; .zst after
  // any of these.
  std::vector<std::string> paths;
  SampleFormat format = SampleFormat::kAuto;
  std::string field = "text";
  double validation = 0;      // share of samples held out, 0 to 0.5
  int64_t max_length = 0;     // ids a sample may have
  int64_t max_bytes = 0;      // of lines; reading stops there
  std::string scratch = ".";  // where samples are stored meanwhile
};

struct SampleReport {
  int64_t files = 0, lines = 0, bytes = 0;
  int64_t samples = 0;     // kept, those held out included
  int64_t too_long = 0;    // left out
  int64_t untrained = 0;   // left out: no token carries loss
  int64_t split = 0;       // conversations that became several samples
  int64_t longest = 0;     // ids of the longest sample met, kept or not
  bool truncated = false;  // max_bytes was reached
};

struct SampleSet {
  SampleStore train, validation;
  SampleReport report;
};

// Throws Error naming file and line for a sample that cannot be read, and one naming the paths when none is
// left. `progress(bytes)` is called now and then. `first` gets the first samples kept, with their source, for
// people to look at.
SampleSet read_samples(const SampleSetOptions& options, const SampleEncoder& encoder,
                       const std::function<void(int64_t)>& progress = {},
                       std::vector<TokenSample>* first = nullptr, size_t first_count = 0);

}  // namespace hoist::data
