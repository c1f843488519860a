#include "data/sample_store.h"

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

SampleStore::SampleStore(const std::string& folder)
    : folder_(folder), file_(folder), hashing_(std::make_unique<Hash>()) {}
SampleStore::SampleStore(SampleStore&& other) noexcept = default;
SampleStore::~SampleStore() = default;

void SampleStore::flush() {
  const auto bytes = static_cast<int64_t>(buffer_.size() * sizeof(uint32_t));
  hashing_->hasher.add(buffer_.data(), static_cast<size_t>(bytes));
  if (const int error = file_.write(buffer_.data(), bytes, written_))
    throw_io("cannot write samples in " + folder_, error);
  written_ += bytes;
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
  const int64_t at = begin(i) * static_cast<int64_t>(sizeof(uint32_t));
  if (const int error = file_.read(raw.data(), static_cast<int64_t>(n * sizeof(uint32_t)), at))
    throw_io("cannot read samples in " + folder_, error);
  TokenSample out;
  for (uint32_t x : raw) {
    out.ids.push_back(static_cast<int32_t>(x & ~kTrained));
    out.trained.push_back(static_cast<uint8_t>(x >> 31));
  }
  return out;
}

}  // namespace hoist::data
