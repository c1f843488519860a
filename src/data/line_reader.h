// LineReader: a text file line by line, in bounded memory; files that end in .zst are decompressed on the
// way.
//
// A line ends at \n or \r\n, or at the file's end; a byte order mark before the first is dropped. Throws
// Error: kIo or kNotFound for the file, kCorrupt for broken or cut compressed data and for a line above
// `max_line` bytes. Memory: the longest line and a few hundred KB (compressed files: their window, at most
// 128 MiB).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/byte_reader.h"

namespace hoist::data {

class LineReader {
 public:
  static constexpr size_t kMaxLine = size_t{64} << 20;
  explicit LineReader(const std::string& path, size_t max_line = kMaxLine);

  // False at the end. The line lives until the next call.
  bool next(std::string_view& line);
  int64_t line_number() const { return line_; }  // of the last line, from 1
  int64_t bytes() const { return bytes_; }       // of all lines so far, decompressed

 private:
  ByteReader bytes_of_;
  std::string path_, pending_;
  size_t at_ = 0, max_line_;
  int64_t line_ = 0, bytes_ = 0;
  bool ended_ = false;
};

}  // namespace hoist::data
