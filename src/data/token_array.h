// TokenArray: a long run of token ids, two bytes each while the vocabulary allows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hoist::data {

class TokenArray {
 public:
  explicit TokenArray(int64_t vocab = 65536) : narrow_(vocab <= 65536) {}
  void append(std::span<const int32_t> ids) {
    for (int32_t id : ids) narrow_ ? small_.push_back(static_cast<uint16_t>(id)) : large_.push_back(id);
  }
  int64_t size() const { return static_cast<int64_t>(narrow_ ? small_.size() : large_.size()); }
  int32_t operator[](int64_t i) const {
    return narrow_ ? small_[static_cast<size_t>(i)] : large_[static_cast<size_t>(i)];
  }
  void shrink() { narrow_ ? small_.shrink_to_fit() : large_.shrink_to_fit(); }
  const void* bytes() const { return narrow_ ? static_cast<const void*>(small_.data()) : large_.data(); }
  size_t byte_count() const { return narrow_ ? small_.size() * 2 : large_.size() * 4; }

 private:
  bool narrow_;
  std::vector<uint16_t> small_;
  std::vector<int32_t> large_;
};

}  // namespace hoist::data
