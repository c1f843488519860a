// Reading a GGUF header: front to back through a small window, every length checked against the bytes left
// before anything is sized by it.
#include <fmt/format.h>

#include <cstring>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "io/gguf.h"
#include "io/json.h"

namespace hoist::io {
namespace {

constexpr int64_t kWindow = 1 << 16;
constexpr uint64_t kMaxHeaderBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxKeyBytes = 65535, kMaxNameBytes = 63, kMaxArray = uint64_t{1} << 30;
constexpr uint32_t kMaxDims = 4;
constexpr int64_t kMaxAlignment = int64_t{1} << 30;

class Cursor {
 public:
  Cursor(FunctionRef<void(int64_t, void*, size_t)> read_at, int64_t end, const std::string& source)
      : read_at_(read_at), end_(end), source_(source) {}

  int64_t position() const { return window_start_ + static_cast<int64_t>(at_); }
  uint64_t left() const { return static_cast<uint64_t>(end_ - position()); }

  void copy(void* destination, uint64_t bytes, std::string_view what) {
    if (bytes > left())
      throw_corrupt(fmt::format("{}: {} at byte {}: found {} bytes to the end of the file, expected {}",
                                source_, what, position(), left(), bytes));
    taken_ += bytes;
    if (taken_ > kMaxHeaderBytes)
      throw_unsupported(fmt::format("{}: metadata of more than {} bytes", source_, kMaxHeaderBytes));
    auto* out = static_cast<char*>(destination);
    while (bytes > 0) {
      if (at_ == window_.size()) refill();
      const size_t n = std::min<size_t>(bytes, window_.size() - at_);
      std::memcpy(out, window_.data() + at_, n);
      at_ += n;
      out += n;
      bytes -= n;
    }
  }
  template <class T>
  T get(std::string_view what) {
    T x;
    copy(&x, sizeof x, what);
    return x;
  }
  // Appends a string's bytes to `out`.
  uint64_t text(std::string& out, uint64_t most, std::string_view what) {
    const auto length = get<uint64_t>(what);
    if (length > most || length > left())
      throw_corrupt(fmt::format("{}: {} at byte {}: found a string of {} bytes, expected at most {}", source_,
                                what, position(), length, std::min(most, left())));
    const size_t before = out.size();
    out.resize(before + length);
    copy(out.data() + before, length, what);
    return length;
  }

 private:
  void refill() {
    window_start_ += static_cast<int64_t>(window_.size());
    at_ = 0;
    window_.resize(static_cast<size_t>(std::min(kWindow, end_ - window_start_)));
    HOIST_CHECK(!window_.empty(), "reads are checked against the end");
    read_at_(window_start_, window_.data(), window_.size());
  }
  FunctionRef<void(int64_t, void*, size_t)> read_at_;
  int64_t end_, window_start_ = 0;
  const std::string& source_;
  std::vector<char> window_;
  size_t at_ = 0;
  uint64_t taken_ = 0;
};

size_t size_of(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool: return 1;
    case GgufType::kU16:
    case GgufType::kI16: return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32: return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
    case GgufType::kString: return 8;  // at least its length
    case GgufType::kArray: return 0;
  }
  return 0;
}

GgufType read_type(Cursor& in, const std::string& where, bool array_allowed) {
  const auto id = in.get<uint32_t>(where);
  if (id > static_cast<uint32_t>(GgufType::kF64) ||
      (!array_allowed && id == static_cast<uint32_t>(GgufType::kArray)))
    throw_corrupt(fmt::format("{}: found value type {}, expected one from 0 to 12{}", where, id,
                              array_allowed ? "" : " other than 9 (arrays do not nest)"));
  return static_cast<GgufType>(id);
}

GgufValue read_value(Cursor& in, const std::string& where) {
  GgufValue value;
  value.type = read_type(in, where, true);
  if (value.type == GgufType::kArray) {
    value.is_array = true;
    value.type = read_type(in, where, false);
    value.count = in.get<uint64_t>(where);
    if (value.count > kMaxArray || value.count > in.left() / size_of(value.type))
      throw_corrupt(fmt::format("{}: found an array of {} elements, expected at most {}", where, value.count,
                                std::min(kMaxArray, in.left() / size_of(value.type))));
  }
  if (value.type == GgufType::kString) {
    for (uint64_t i = 0; i < value.count; ++i) {
      in.text(value.bytes, uint64_t{1} << 30, where);
      value.ends.push_back(value.bytes.size());
    }
  } else {
    value.bytes.resize(value.count * size_of(value.type));
    in.copy(value.bytes.data(), value.bytes.size(), where);
    if (value.type == GgufType::kBool)
      for (char c : value.bytes)
        if (c != 0 && c != 1)
          throw_corrupt(
              fmt::format("{}: found {} as a bool, expected 0 or 1", where, static_cast<uint8_t>(c)));
  }
  return value;
}

GgufTensor read_tensor(Cursor& in, const std::string& source) {
  GgufTensor tensor;
  in.text(tensor.name, kMaxNameBytes, "a tensor's name");
  const std::string where = fmt::format("{}: tensor {}", source, json_quote(tensor.name));
  const auto rank = in.get<uint32_t>(where);
  if (rank < 1 || rank > kMaxDims)
    throw_corrupt(fmt::format("{}: found {} dimensions, expected 1 to {}", where, rank, kMaxDims));
  int64_t elements = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    tensor.dims.push_back(in.get<int64_t>(where));
    if (tensor.dims.back() < 0 || __builtin_mul_overflow(elements, tensor.dims.back(), &elements))
      throw_corrupt(fmt::format("{}: found shape [{}], which is no size of a tensor", where,
                                fmt::join(tensor.dims, ", ")));
  }
  const auto id = in.get<uint32_t>(where);
  tensor.type = find_gguf_type(id);
  if (!tensor.type)
    throw_unsupported(fmt::format("{}: found tensor type {}, which we do not know", where, id));
  if (tensor.dims[0] % tensor.type->block != 0)
    throw_corrupt(fmt::format("{}: found rows of {} elements, expected a multiple of {} for {}", where,
                              tensor.dims[0], tensor.type->block, tensor.type->name));
  if (__builtin_mul_overflow(elements / tensor.type->block, tensor.type->bytes, &tensor.bytes))
    throw_corrupt(fmt::format("{}: found shape [{}], which is no size of a tensor", where,
                              fmt::join(tensor.dims, ", ")));
  const auto offset = in.get<uint64_t>(where);
  if (offset > static_cast<uint64_t>(INT64_MAX))
    throw_corrupt(fmt::format("{}: found offset {}", where, offset));
  tensor.offset = static_cast<int64_t>(offset);
  return tensor;
}

// Every tensor begins where the one before it ends, rounded up to the alignment; the last one ends in the
// file.
void check_layout(const GgufHeader& header, int64_t file_bytes, const std::string& source) {
  int64_t expected = 0;
  for (const GgufTensor& tensor : header.tensors) {
    const std::string where = fmt::format("{}: tensor {}", source, json_quote(tensor.name));
    if (tensor.offset != expected)
      throw_corrupt(fmt::format(
          "{}: found offset {}, expected {}: tensors lie one behind the other, each at a multiple of {}",
          where, tensor.offset, expected, header.alignment));
    int64_t end;
    if (__builtin_add_overflow(tensor.offset, tensor.bytes, &end) || end > file_bytes - header.data_start)
      throw_corrupt(
          fmt::format("{}: found {} bytes of data in the file, expected at least {}: it is cut short", where,
                      std::max<int64_t>(file_bytes - header.data_start, 0), end));
    if (__builtin_add_overflow(end, header.alignment - 1, &expected))
      throw_corrupt(fmt::format("{}: found offset {}", where, tensor.offset));
    expected -= expected % header.alignment;
  }
}

}  // namespace

GgufHeader parse_gguf_header(FunctionRef<void(int64_t, void*, size_t)> read_at, int64_t file_bytes,
                             const std::string& source) {
  Cursor in(read_at, file_bytes, source);
  char magic[4];
  in.copy(magic, 4, "the format's mark");
  if (std::memcmp(magic, "GGUF", 4) != 0)
    throw_corrupt(fmt::format("{}: found {} at its start, expected GGUF", source, json_quote({magic, 4})));
  GgufHeader header;
  header.metadata = GgufMetadata(source);
  header.version = in.get<uint32_t>("the version");
  if (header.version != 0 && (header.version & 0xffff) == 0)
    throw_unsupported(fmt::format("{}: found a big-endian file, expected a little-endian one", source));
  if (header.version != 2 && header.version != 3)
    throw_unsupported(fmt::format("{}: found GGUF version {}, expected 2 or 3", source, header.version));
  const auto tensor_count = in.get<uint64_t>("the number of tensors");
  const auto key_count = in.get<uint64_t>("the number of keys");
  // A tensor takes at least 32 bytes here and a key 13, so no count can promise more than the file holds.
  if (tensor_count > in.left() / 32 || key_count > in.left() / 13)
    throw_corrupt(fmt::format("{}: found {} tensors and {} keys in a file of {} bytes", source, tensor_count,
                              key_count, file_bytes));
  for (uint64_t i = 0; i < key_count; ++i) {
    std::string key;
    in.text(key, kMaxKeyBytes, "a key");
    const std::string where = fmt::format("{}: {}", source, json_quote(key));
    if (key.empty()) throw_corrupt(where + ": found an empty key");
    if (!header.metadata.add(key, read_value(in, where))) throw_corrupt(where + ": found the key twice");
  }
  if (const auto alignment = header.metadata.integer("general.alignment", 1, kMaxAlignment)) {
    if (header.metadata.at("general.alignment").type != GgufType::kU32 ||
        (*alignment & (*alignment - 1)) != 0)
      header.metadata.refuse("general.alignment", "a power of two as u32");
    header.alignment = *alignment;
  }
  std::set<std::string_view> names;
  header.tensors.reserve(tensor_count);
  for (uint64_t i = 0; i < tensor_count; ++i) {
    header.tensors.push_back(read_tensor(in, source));
    if (!names.insert(header.tensors.back().name).second)
      throw_corrupt(
          fmt::format("{}: tensor {}: found twice", source, json_quote(header.tensors.back().name)));
  }
  header.data_start = (in.position() + header.alignment - 1) / header.alignment * header.alignment;
  check_layout(header, file_bytes, source);
  return header;
}

}  // namespace hoist::io
