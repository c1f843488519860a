#include "data/sample_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.h"
#include "io/files.h"

namespace hoist::data {

namespace {
constexpr uint32_t kTrained = uint32_t{1} << 31;
constexpr size_t kBuffer = size_t{1} << 18;
}  // namespace

struct SampleStore::Hash {
  io::Hasher hasher;
};

SampleStore::SampleStore(const std::string& folder) : folder_(folder), hashing_(std::make_unique<Hash>()) {
  std::string path = io::join_path(folder, "samples-XXXXXX");
  file_ = mkostemp(path.data(), O_CLOEXEC);
  if (file_ < 0) throw_io("cannot write in " + folder, errno);
  unlink(path.c_str());
}

SampleStore::SampleStore(SampleStore&& other) noexcept
    : folder_(std::move(other.folder_)),
      hash_(std::move(other.hash_)),
      file_(other.file_),
      ends_(std::move(other.ends_)),
      buffer_(std::move(other.buffer_)),
      hashing_(std::move(other.hashing_)),
      written_(other.written_),
      trained_(other.trained_) {
  other.file_ = -1;
}

SampleStore::~SampleStore() {
  if (file_ >= 0) close(file_);
}

void SampleStore::flush() {
  const char* data = reinterpret_cast<const char*>(buffer_.data());
  size_t left = buffer_.size() * sizeof(uint32_t);
  hashing_->hasher.add(data, left);
  while (left > 0) {
    const ssize_t n = pwrite(file_, data, left, written_);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_io("cannot write samples in " + folder_, n < 0 ? errno : ENOSPC);
    data += n;
    left -= static_cast<size_t>(n);
    written_ += n;
  }
  buffer_.clear();
}

void SampleStore::add(const TokenSample& sample) {
  for (size_t i = 0; i < sample.ids.size(); ++i) {
    buffer_.push_back(static_cast<uint32_t>(sample.ids[i]) | (sample.trained[i] ? kTrained : 0));
    trained_ += sample.trained[i] != 0;
  }
  const auto count = static_cast<int64_t>(sample.ids.size());
  ends_.push_back(tokens() + count);
  // Where samples end is part of what they are.
  hashing_->hasher.add(&count, sizeof count);
  if (buffer_.size() >= kBuffer) flush();
}

void SampleStore::finish() {
  flush();
  buffer_.shrink_to_fit();
  hash_ = hashing_->hasher.hex();
}

TokenSample SampleStore::read(int64_t i) const {
  const auto n = static_cast<size_t>(length(i));
  std::vector<uint32_t> raw(n);
  char* to = reinterpret_cast<char*>(raw.data());
  size_t left = n * sizeof(uint32_t);
  int64_t at = begin(i) * static_cast<int64_t>(sizeof(uint32_t));
  while (left > 0) {
    const ssize_t got = pread(file_, to, left, at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw_io("cannot read samples in " + folder_, got < 0 ? errno : EIO);
    to += got;
    left -= static_cast<size_t>(got);
    at += got;
  }
  TokenSample out;
  for (uint32_t x : raw) {
    out.ids.push_back(static_cast<int32_t>(x & ~kTrained));
    out.trained.push_back(static_cast<uint8_t>(x >> 31));
  }
  return out;
}

}  // namespace hoist::data
