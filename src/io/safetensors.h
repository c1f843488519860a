// safetensors files: u64 header length, JSON header, one data section without holes.
//
// Entry points: SafetensorsFile to read, SafetensorsWriter to write. The reader checks every rule of the
// format before it hands out a tensor, so an offset it gives is inside the file. Reads are copies by pread
// through at most 4 MiB of staging, so alignment does not matter, loading costs no second copy of the
// weights, and a file that is cut short meanwhile is an Error. NaN is not inspected. Threads: reads of one
// file are thread-safe; a writer belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "io/files.h"
#include "io/tensor_file.h"

namespace hoist::io {

// "F32" for f32, and so on.
std::string_view safetensors_dtype_name(DType dtype);

// Copies `count` elements of `from` type into `to` type. Defined between f32, f64, bf16 and f16, and from a
// type to itself; throws kUnsupported otherwise, naming `what`. Pointers need no alignment.
void convert_elements(DType from, const void* source, DType to, void* destination, int64_t count,
                      const std::string& what);

using StringMap = std::map<std::string, std::string>;

class SafetensorsFile : public TensorFile {
 public:
  static constexpr int64_t kMaxHeaderBytes = 100'000'000;
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const override { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }  // by offset, then by name
  const StringMap& metadata() const { return metadata_; }
  const TensorInfo* find(std::string_view name) const;  // null if absent
  int64_t data_bytes() const override { return data_bytes_; }
  std::pair<uint64_t, uint64_t> identity() const override { return file_.identity(); }

  // `tensor` must be one of ours. Ranges outside it are our bug.
  void read(const TensorInfo& tensor, void* destination) const;  // tensor.bytes() bytes
  void read_range(const TensorInfo& tensor, int64_t first_byte, int64_t bytes, void* destination) const;
  void read_as(const TensorInfo& tensor, DType dtype, void* destination, int64_t first,
               int64_t count) const override;
  void read_rows(const TensorInfo& tensor, int64_t first_row, int64_t rows, void* destination) const override;

 private:
  RandomFile file_;
  int64_t data_start_ = 0, data_bytes_ = 0;
  std::vector<TensorInfo> tensors_;
  std::vector<uint32_t> by_name_;
  StringMap metadata_;
};

// Parses the header of a file of `file_bytes` bytes; `head` are its first bytes, at least 8 + header length
// of them unless that is what is wrong. Exposed for fuzzing.
struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;
  StringMap metadata;
  int64_t data_start = 0;
};
SafetensorsHeader parse_safetensors_header(std::span<const char> head, int64_t file_bytes,
                                           const std::string& source);

struct TensorSpec {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
};

// Where each tensor goes in a file of these: by dtype, then by name, without holes. Throws kInvalidArgument,
// led by `source`, for a name given twice or a size that overflows.
std::vector<TensorInfo> canonical_layout(const std::vector<TensorSpec>& specs, const std::string& source);

// Writes one file. The tensors are declared first; they are then written in the order of tensors(), which is
// the format's canonical one (dtype, then name), each in as many pieces as the caller likes. Anything else is
// our bug.
class SafetensorsWriter {
 public:
  // `metadata` gets format=pt unless it has a format. Throws kInvalidArgument for a name given twice or a
  // size that overflows.
  SafetensorsWriter(std::string path, const std::vector<TensorSpec>& specs, StringMap metadata = {});
  ~SafetensorsWriter();

  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  void write(std::string_view name, const void* data, int64_t bytes);
  // Like write, from elements of another float type.
  void write_as(std::string_view name, DType from, const void* data, int64_t count);
  FileDigest finish();  // refuses (our bug) while something is unwritten; then fsync and rename

 private:
  const TensorInfo& expect(std::string_view name) const;
  std::unique_ptr<FileWriter> out_;
  std::vector<TensorInfo> tensors_;
  size_t at_ = 0;
  int64_t written_ = 0;  // bytes of the current tensor
};

}  // namespace hoist::io
