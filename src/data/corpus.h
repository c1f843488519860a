// Corpus: from files on disk to token ids for training and validation.
//
// Sources: a text file, a .jsonl file with a text field, a folder, or a glob ("src/**/*.cc"; * stays inside a
// folder,
// ** crosses folders). Files are read in sorted order; several documents are then shuffled by a fixed seed.
// The last `validation` share of the characters is held out. Documents end with the tokenizer's end-of-text
// token, if it has one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/token_array.h"
#include "text/tokenizer.h"

namespace hoist::data {

struct CorpusOptions {
  std::vector<std::string> paths;
  std::string field = "text";            // of .jsonl lines
  double validation = 0.1;               // 0..0.5
  int64_t max_bytes = int64_t{8} << 30;  // reading stops there, and says so
  uint64_t shuffle_seed = 1;
};

struct CorpusReport {
  int64_t files = 0, documents = 0, bytes = 0;
  int64_t skipped_files = 0;  // empty, binary (a NUL byte) or not UTF-8
  bool truncated = false;     // max_bytes was reached
};

// The documents, in training order. Throws Error naming the path when nothing is found, and file and line for
// a broken .jsonl line.
struct Documents {
  std::vector<std::string> train, validation;
  CorpusReport report;
};
Documents read_documents(const CorpusOptions& options);

// `progress(done_bytes, total_bytes)` is called now and then.
TokenArray tokenize(const std::vector<std::string>& documents, const text::Tokenizer& tokenizer,
                    int64_t vocab, int32_t end_of_text,
                    const std::function<void(int64_t, int64_t)>& progress);

// Files that match a path or glob, sorted. Exposed for tests.
std::vector<std::string> expand_glob(const std::string& pattern);

}  // namespace hoist::data
