// SampleStore: tokenized samples on disk, read back by number.
//
// Samples lie in a file without a name in a folder of the caller's, gone when the store is; memory is 8 bytes
// a sample and a buffer. So a data set may be larger than memory. Adding is for one thread and ends with
// finish(); afterwards any number of threads may read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/nameless_file.h"
#include "data/sample_encoder.h"

namespace hoist::data {

class SampleStore {
 public:
  explicit SampleStore(const std::string& folder);
  ~SampleStore();
  SampleStore(SampleStore&& other) noexcept;
  SampleStore& operator=(SampleStore&&) = delete;

  void add(const TokenSample& sample);
  void finish();

  int64_t size() const { return static_cast<int64_t>(ends_.size()); }
  // Ids of sample i.
  int64_t length(int64_t i) const { return ends_[static_cast<size_t>(i)] - begin(i); }
  TokenSample read(int64_t i) const;
  int64_t tokens() const { return ends_.empty() ? 0 : ends_.back(); }
  int64_t trained_tokens() const { return trained_; }
  // XXH3-128 of everything added, after finish().
  const std::string& hash() const { return hash_; }

 private:
  int64_t begin(int64_t i) const { return i ? ends_[static_cast<size_t>(i - 1)] : 0; }
  void flush();
  struct Hash;
  std::string folder_, hash_;
  NamelessFile file_;
  std::vector<int64_t> ends_;     // in ids
  std::vector<uint32_t> buffer_;  // an id with its loss in the highest bit
  std::unique_ptr<Hash> hashing_;
  int64_t written_ = 0, trained_ = 0;
};

}  // namespace hoist::data
