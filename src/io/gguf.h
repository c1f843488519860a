// GGUF files: metadata as typed key-value pairs, then tensors that may lie in quantized blocks. Versions 2
// and 3, little-endian, are read; version 3 is written.
//
// Entry points: GgufSet::open for a model of one file or several (-00001-of-0000N.gguf), GgufWriter to write.
// This file knows the format only; io/gguf_model.h knows what the keys and names mean. The reader checks
// every rule of the format before it hands out a tensor: counts and lengths against the bytes that are there,
// names and keys for uniqueness, and that tensors lie one behind the other. Memory while reading: about the
// header's own size. Threads: reads of one file are thread-safe; a writer belongs to one thread. Source of
// the format: ggml's gguf.md and gguf.cpp, 2023 to 2026.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/function_ref.h"
#include "io/files.h"

namespace hoist::io {

enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
std::string_view gguf_type_name(GgufType type);  // "u32", "string", ...

// A value as it lies in the file. Strings, and arrays of them, lie back to back with their ends beside.
struct GgufValue {
  GgufType type = GgufType::kU32;  // of the value, or of an array's elements
  bool is_array = false;
  uint64_t count = 1;          // elements
  std::string bytes;           // elements, or the text of all strings
  std::vector<uint64_t> ends;  // strings only: where each ends in `bytes`

  std::string_view text(uint64_t i = 0) const {
    const uint64_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(bytes).substr(begin, ends[i] - begin);
  }
  std::string excerpt() const;  // for messages and listings, cut short
  bool is_integer() const;
  std::optional<int64_t> integer(
      uint64_t i = 0) const;                           // bools too; none for other types, and above 2^63 - 1
  std::optional<double> number(uint64_t i = 0) const;  // integers too
};

// Keys in the file's order, with getters whose errors name file and key.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string source = "") : source_(std::move(source)) {}
  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }
  const std::string& source() const { return source_; }
  bool add(std::string key, GgufValue value);         // false when the key is there already
  const GgufValue* find(std::string_view key) const;  // null if absent
  const GgufValue& at(std::string_view key) const;    // throws kCorrupt
  // Absent: no value. Another type or a value outside the range: throws kCorrupt.
  std::optional<int64_t> integer(std::string_view key, int64_t low, int64_t high) const;
  std::optional<double> number(std::string_view key, double low, double high) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;
  // An array of this type, or null.
  const GgufValue* array(std::string_view key, GgufType type) const;
  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;

  void set_text(std::string_view key, std::string_view value);
  void set_u32(std::string_view key, uint64_t value);
  void set_f32(std::string_view key, double value);
  void set_bool(std::string_view key, bool value);
  void set_texts(std::string_view key, std::span<const std::string> values);
  void set_i32s(std::string_view key, std::span<const int32_t> values);
  void set_f32s(std::string_view key, std::span<const float> values);

 private:
  void set(std::string_view key, GgufType type, const void* data, size_t bytes, uint64_t count,
           bool is_array);
  std::string source_;
  std::vector<std::pair<std::string, GgufValue>> entries_;
  std::map<std::string, size_t, std::less<>> by_key_;
};

// An element type of tensors. What has neither dtype nor format is known by size and name alone.
struct GgufTensorType {
  uint32_t id;
  std::string_view name;       // "Q4_K"
  int64_t block, bytes;        // `block` elements in `bytes` bytes
  std::optional<DType> dtype;  // a plain element
  std::string_view format;     // "q4_k": a codec of quant/codec.h
};
const GgufTensorType* find_gguf_type(uint32_t id);
const GgufTensorType* find_gguf_type(std::string_view dtype_or_format);  // "f16", "q4_k"

struct GgufTensor {
  std::string name;
  const GgufTensorType* type;
  std::vector<int64_t> dims;  // fastest first; 1 to 4
  int64_t offset = 0, bytes = 0;
  int64_t elements() const;
};

struct GgufHeader {
  uint32_t version = 3;
  int64_t alignment = 32, data_start = 0;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in the file's order
};
// `read_at(offset, destination, bytes)` copies bytes inside [0, file_bytes). Throws kCorrupt or kUnsupported
// led by `source`. Exposed for fuzzing.
GgufHeader parse_gguf_header(FunctionRef<void(int64_t, void*, size_t)> read_at, int64_t file_bytes,
                             const std::string& source);

class GgufFile {
 public:
  explicit GgufFile(const std::string& path);
  const std::string& path() const { return file_.path(); }
  const GgufHeader& header() const { return header_; }
  const GgufMetadata& metadata() const { return header_.metadata; }
  const std::vector<GgufTensor>& tensors() const { return header_.tensors; }
  int64_t data_bytes() const;
  std::pair<uint64_t, uint64_t> identity() const { return file_.identity(); }
  // Bytes of one of our tensors; ranges outside it are our bug.
  void read(const GgufTensor& tensor, int64_t first_byte, int64_t bytes, void* destination) const;

 private:
  RandomFile file_;
  GgufHeader header_;
};

// A model's files. Opened through any part of a split one, whose parts must lie in one folder, agree on their
// number and hold each tensor once.
class GgufSet {
 public:
  static std::shared_ptr<const GgufSet> open(const std::string& path);
  const std::vector<std::unique_ptr<GgufFile>>& parts() const { return parts_; }
  const GgufMetadata& metadata() const { return parts_.front()->metadata(); }
  const std::string& path() const { return parts_.front()->path(); }

 private:
  std::vector<std::unique_ptr<GgufFile>> parts_;
};

struct GgufTensorSpec {
  std::string name;
  const GgufTensorType* type;
  std::vector<int64_t> dims;  // fastest first
};

// Writes one file: the header at once, then the tensors in their order, each in as many pieces as the caller
// likes. Anything else is our bug. Under a temporary name until finish().
class GgufWriter {
 public:
  static constexpr int64_t kAlignment = 32;
  // Throws kInvalidArgument for names the format cannot hold.
  GgufWriter(std::string path, const GgufMetadata& metadata, const std::vector<GgufTensorSpec>& specs);
  ~GgufWriter();
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  int64_t data_bytes() const;
  void write(std::string_view name, const void* data, int64_t bytes);
  FileDigest finish();

 private:
  std::unique_ptr<FileWriter> out_;
  std::vector<GgufTensor> tensors_;
  size_t at_ = 0;
  int64_t written_ = 0;
};

}  // namespace hoist::io
