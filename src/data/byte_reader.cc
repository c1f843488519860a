#include "data/byte_reader.h"

#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "base/error.h"

namespace hoist::data {

// Bytes of the file, decompressed.
struct ByteReader::Source {
  explicit Source(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "rb")) {
    if (!file_) throw_io("cannot read " + path, errno);
    if (!path.ends_with(".zst")) return;
    zstd_ = ZSTD_createDCtx();
    if (!zstd_) throw Error(ErrorCode::kResourceExhausted, "out of memory for " + path);
    input_.resize(kPiece);
  }
  ~Source() {
    ZSTD_freeDCtx(zstd_);
    if (file_) std::fclose(file_);
  }
  Source(const Source&) = delete;

  // Appends more to `out`; false when there is none.
  bool read(std::string& out) {
    const size_t had = out.size();
    out.resize(had + kPiece);
    const size_t got = zstd_ ? decompress(out.data() + had, kPiece) : from_file(out.data() + had, kPiece);
    out.resize(had + got);
    return got > 0;
  }

 private:
  size_t from_file(char* to, size_t most) {
    const size_t got = std::fread(to, 1, most, file_);
    if (got == 0 && std::ferror(file_)) throw_io("cannot read " + path_, errno);
    return got;
  }
  size_t decompress(char* to, size_t most) {
    ZSTD_outBuffer out{to, most, 0};
    while (out.pos == 0) {
      if (left_.pos == left_.size) {
        left_ = {input_.data(), from_file(input_.data(), input_.size()), 0};
        if (left_.size == 0) {
          // The decoder may hold bytes that did not fit before.
          const size_t rest = in_frame_ ? ZSTD_decompressStream(zstd_, &out, &left_) : 0;
          if (out.pos > 0) return out.pos;
          if (in_frame_ && rest != 0) throw_corrupt(path_ + ": the compressed data is cut short");
          return 0;
        }
      }
      const size_t rest = ZSTD_decompressStream(zstd_, &out, &left_);
      if (ZSTD_isError(rest))
        throw_corrupt(path_ + ": broken compressed data (" + ZSTD_getErrorName(rest) + ")");
      in_frame_ = rest != 0;
    }
    return out.pos;
  }

  std::string path_;
  std::FILE* file_;
  ZSTD_DCtx* zstd_ = nullptr;
  std::vector<char> input_;
  ZSTD_inBuffer left_{nullptr, 0, 0};
  bool in_frame_ = false;
};

ByteReader::ByteReader(const std::string& path) : source_(std::make_unique<Source>(path)) {}
ByteReader::~ByteReader() = default;
bool ByteReader::read(std::string& out) { return source_->read(out); }

}  // namespace hoist::data
