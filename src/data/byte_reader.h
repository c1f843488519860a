// ByteReader: a file's bytes piece by piece; files that end in .zst are decompressed on the way.
//
// Throws Error: for the file as the system says, kCorrupt for broken or cut compressed data. Memory: a piece
// or two (compressed files: their window besides, at most 128 MiB).
#pragma once

#include <memory>
#include <string>

namespace hoist::data {

class ByteReader {
 public:
  static constexpr size_t kPiece = size_t{128} << 10;
  explicit ByteReader(const std::string& path);
  ~ByteReader();
  // Appends at most kPiece bytes to `out`; false when there are no more.
  bool read(std::string& out);

 private:
  struct Source;
  std::unique_ptr<Source> source_;
};

}  // namespace hoist::data
