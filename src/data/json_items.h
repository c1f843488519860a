// JsonItems: the objects of a .json file one at a time, in bounded memory: of one long array, or one behind
// the other, on one line each or spread over many. Only where objects begin and end is looked at; each is for
// a JSON reader to check.
#pragma once

#include <string>

#include "data/line_reader.h"

namespace hoist::data {

class JsonItems {
 public:
  // `source` leads Errors (kCorrupt): text between objects, an object cut short or of more than
  // LineReader::kMaxLine.
  JsonItems(LineReader& lines, std::string source) : lines_(lines), source_(std::move(source)) {}
  // False at the end.
  bool next(std::string& item);
  int64_t line_number() const { return begin_; }  // where the last object began

 private:
  bool skip_to_object();
  [[noreturn]] void fail(const std::string& what) const;
  LineReader& lines_;
  std::string source_, line_;
  size_t at_ = 0;
  int64_t begin_ = 0;
  bool array_ = false, closed_ = false, any_ = false;
};

}  // namespace hoist::data
