// JsonItems: the objects of a .json file one at a time, in memory for the longest of them: of one long list,
// or one behind the other. Only where objects begin and end is looked at; each is for a JSON reader to check.
#pragma once

#include <cstdint>
#include <string>

#include "data/byte_reader.h"

namespace hoist::data {

class JsonItems {
 public:
  static constexpr size_t kMaxItem = size_t{64} << 20;
  explicit JsonItems(const std::string& path) : reader_(path), path_(path) {}
  // False at the end. Throws Error as ByteReader does, and kCorrupt, led by path and line, for text between
  // objects and an object cut short or above kMaxItem bytes.
  bool next(std::string& item);
  int64_t line_number() const { return begin_; }  // where the last object began, from 1

 private:
  bool refill();
  bool skip_to_object();
  [[noreturn]] void fail(const std::string& what) const;
  ByteReader reader_;
  std::string path_, piece_;
  size_t at_ = 0;
  int64_t line_ = 1, begin_ = 0;
  bool array_ = false, closed_ = false, any_ = false, begun_ = false;
};

}  // namespace hoist::data
