#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "io/json.h"
#include "io/safetensors_dtypes.h"

namespace hoist::io {
namespace {

constexpr int64_t kStagingBytes = int64_t{4} << 20;

template <class T>
T load(const char* at) {
  T x;
  std::memcpy(&x, at, sizeof x);
  return x;
}

// f64 goes through float for the 16-bit types: one rounding more than the ideal, as PyTorch does it.
template <class From, class To>
void convert_loop(const char* from, char* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const From x = load<From>(from + i * static_cast<int64_t>(sizeof(From)));
    To y;
    if constexpr (std::is_arithmetic_v<From> && std::is_arithmetic_v<To>) {
      y = static_cast<To>(x);
    } else {
      float f;
      if constexpr (std::is_arithmetic_v<From>)
        f = static_cast<float>(x);
      else
        f = to_float(x);
      if constexpr (std::is_same_v<To, bf16>)
        y = to_bf16(f);
      else if constexpr (std::is_same_v<To, f16>)
        y = to_f16(f);
      else
        y = f;
    }
    std::memcpy(to + i * static_cast<int64_t>(sizeof(To)), &y, sizeof y);
  }
}

template <class From>
void convert_from(DType to, const char* source, char* destination, int64_t count) {
  switch (to) {
    case DType::f32: return convert_loop<From, float>(source, destination, count);
    case DType::f64: return convert_loop<From, double>(source, destination, count);
    case DType::bf16: return convert_loop<From, bf16>(source, destination, count);
    case DType::f16: return convert_loop<From, f16>(source, destination, count);
    default: HOIST_CHECK(false, "not a float type");
  }
}

SafetensorsHeader read_header(const RandomFile& file) {
  std::vector<char> head(static_cast<size_t>(std::min<int64_t>(file.size(), 8)));
  file.read(0, head.data(), head.size());
  if (head.size() == 8) {
    const uint64_t length = load<uint64_t>(head.data());
    // Anything above is refused by the parser from the eight bytes alone.
    if (length <= static_cast<uint64_t>(SafetensorsFile::kMaxHeaderBytes) &&
        length <= static_cast<uint64_t>(file.size() - 8)) {
      head.resize(8 + static_cast<size_t>(length));
      file.read(8, head.data() + 8, static_cast<size_t>(length));
    }
  }
  return parse_safetensors_header(head, file.size(), file.path());
}

}  // namespace

int64_t TensorInfo::elements() const {
  // Unsigned: beside a zero the other dimensions may multiply to anything.
  uint64_t n = 1;
  for (int64_t dim : shape) n *= static_cast<uint64_t>(dim);
  return static_cast<int64_t>(n);
}

int64_t TensorInfo::row_elements() const {
  if (shape.empty()) return 1;
  return transposed ? shape.front() : shape.back();
}

int64_t TensorInfo::row_count() const {
  const int64_t width = row_elements();
  return width == 0 ? 0 : elements() / width;
}

std::string_view safetensors_dtype_name(DType dtype) { return find_stored_type(dtype)->name; }

void convert_elements(DType from, const void* source, DType to, void* destination, int64_t count,
                      const std::string& what) {
  const char* in = static_cast<const char*>(source);
  char* out = static_cast<char*>(destination);
  if (from == to) {
    if (count) std::memcpy(out, in, static_cast<size_t>(count * dtype_size(from)));
    return;
  }
  if (!is_float(from) || !is_float(to))
    throw_unsupported(
        fmt::format("{}: found {}, which we do not convert to {}", what, dtype_name(from), dtype_name(to)));
  switch (from) {
    case DType::f32: return convert_from<float>(to, in, out, count);
    case DType::f64: return convert_from<double>(to, in, out, count);
    case DType::bf16: return convert_from<bf16>(to, in, out, count);
    default: return convert_from<f16>(to, in, out, count);
  }
}

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  SafetensorsHeader header = read_header(file_);
  data_start_ = header.data_start;
  data_bytes_ = file_.size() - header.data_start;
  tensors_ = std::move(header.tensors);
  metadata_ = std::move(header.metadata);
  by_name_.resize(tensors_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(),
            [&](uint32_t a, uint32_t b) { return tensors_[a].name < tensors_[b].name; });
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](uint32_t i, std::string_view n) { return tensors_[i].name < n; });
  return at != by_name_.end() && tensors_[*at].name == name ? &tensors_[*at] : nullptr;
}

void SafetensorsFile::read(const TensorInfo& tensor, void* destination) const {
  read_range(tensor, 0, tensor.bytes(), destination);
}

void SafetensorsFile::read_range(const TensorInfo& tensor, int64_t first_byte, int64_t bytes,
                                 void* destination) const {
  HOIST_CHECK(
      first_byte >= 0 && bytes >= 0 && first_byte <= tensor.bytes() && bytes <= tensor.bytes() - first_byte,
      "range outside tensor " + tensor.name);
  file_.read(data_start_ + tensor.begin + first_byte, destination, static_cast<size_t>(bytes));
}

void SafetensorsFile::read_as(const TensorInfo& tensor, DType dtype, void* destination, int64_t first,
                              int64_t count) const {
  const std::string what = path() + ": " + tensor.name;
  if (!tensor.dtype)
    throw_unsupported(
        fmt::format("{}: found element type {}, which we cannot compute with", what, tensor.dtype_text));
  const int64_t in_size = dtype_size(*tensor.dtype), out_size = dtype_size(dtype);
  HOIST_CHECK(first >= 0 && count >= 0 && first <= tensor.elements() && count <= tensor.elements() - first,
              "range outside tensor " + tensor.name);
  if (*tensor.dtype == dtype) return read_range(tensor, first * in_size, count * in_size, destination);
  char* out = static_cast<char*>(destination);
  const int64_t piece = std::min(count, kStagingBytes / in_size);
  std::vector<char> staging(static_cast<size_t>(piece * in_size));
  while (count > 0) {
    const int64_t n = std::min(count, piece);
    read_range(tensor, first * in_size, n * in_size, staging.data());
    convert_elements(*tensor.dtype, staging.data(), dtype, out, n, what);
    out += n * out_size;
    first += n;
    count -= n;
  }
}

void SafetensorsFile::read_rows(const TensorInfo& tensor, int64_t first_row, int64_t rows,
                                void* destination) const {
  const int64_t bytes = tensor.row_count() == 0 ? 0 : tensor.bytes() / tensor.row_count();
  read_range(tensor, first_row * bytes, rows * bytes, destination);
}

std::vector<TensorInfo> canonical_layout(const std::vector<TensorSpec>& specs, const std::string& source) {
  std::vector<TensorInfo> tensors;
  for (const TensorSpec& spec : specs) {
    int64_t bytes = dtype_size(spec.dtype);
    for (int64_t dim : spec.shape)
      if (dim < 0 || __builtin_mul_overflow(bytes, dim, &bytes))
        throw_invalid(fmt::format("{}: {}: shape [{}] is no size of a tensor", source, spec.name,
                                  fmt::join(spec.shape, ", ")));
    tensors.push_back({spec.name, std::string(safetensors_dtype_name(spec.dtype)), spec.dtype, spec.shape, 0,
                       bytes, "", false});
  }
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    const StoredType *s = find_stored_type(*a.dtype), *t = find_stored_type(*b.dtype);
    return s != t ? s > t : a.name < b.name;
  });
  int64_t at = 0;
  std::vector<std::string_view> names;
  for (TensorInfo& tensor : tensors) {
    tensor.begin = at;
    if (tensor.name == "__metadata__" || __builtin_add_overflow(at, tensor.end, &at))
      throw_invalid(fmt::format("{}: tensor {} cannot be stored", source, json_quote(tensor.name)));
    tensor.end = at;
    names.push_back(tensor.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    throw_invalid(fmt::format("{}: tensor {} is declared twice", source, json_quote(*twice)));
  return tensors;
}

SafetensorsWriter::SafetensorsWriter(std::string path, const std::vector<TensorSpec>& specs,
                                     StringMap metadata)
    : tensors_(canonical_layout(specs, path)) {
  metadata.emplace("format", "pt");
  std::string header = "{\"__metadata__\":{";
  for (bool first = true; const auto& [key, value] : metadata) {
    header += (first ? "" : ",") + json_quote(key) + ':' + json_quote(value);
    first = false;
  }
  header += '}';
  for (const TensorInfo& tensor : tensors_)
    header += fmt::format(",{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          json_quote(tensor.name), tensor.dtype_text, fmt::join(tensor.shape, ","),
                          tensor.begin, tensor.end);
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > static_cast<size_t>(SafetensorsFile::kMaxHeaderBytes))
    throw_invalid(fmt::format("{}: header of {} bytes, readers take at most {}", path, header.size(),
                              SafetensorsFile::kMaxHeaderBytes));
  out_ = std::make_unique<FileWriter>(std::move(path));
  const uint64_t length = header.size();
  out_->write(&length, sizeof length);
  out_->write(header.data(), header.size());
}

SafetensorsWriter::~SafetensorsWriter() = default;

const TensorInfo& SafetensorsWriter::expect(std::string_view name) const {
  HOIST_CHECK(at_ < tensors_.size(), "tensor " + std::string(name) + " written after the last one");
  HOIST_CHECK(tensors_[at_].name == name,
              "tensor " + std::string(name) + " written where " + tensors_[at_].name + " was due");
  return tensors_[at_];
}

void SafetensorsWriter::write(std::string_view name, const void* data, int64_t bytes) {
  const TensorInfo& tensor = expect(name);
  HOIST_CHECK(bytes >= 0 && bytes <= tensor.bytes() - written_, "too many bytes for tensor " + tensor.name);
  out_->write(data, static_cast<size_t>(bytes));
  written_ += bytes;
  if (written_ == tensor.bytes()) {
    ++at_;
    written_ = 0;
  }
}

void SafetensorsWriter::write_as(std::string_view name, DType from, const void* data, int64_t count) {
  const DType to = *expect(name).dtype;
  if (from == to) return write(name, data, count * dtype_size(to));
  const char* in = static_cast<const char*>(data);
  const int64_t piece = std::min(count, kStagingBytes / dtype_size(to));
  std::vector<char> staging(static_cast<size_t>(piece * dtype_size(to)));
  do {
    const int64_t n = std::min(count, piece);
    convert_elements(from, in, to, staging.data(), n, out_->path() + ": " + std::string(name));
    write(name, staging.data(), n * dtype_size(to));
    in += n * dtype_size(from);
    count -= n;
  } while (count > 0);
}

FileDigest SafetensorsWriter::finish() {
  while (at_ < tensors_.size() && tensors_[at_].bytes() == 0) ++at_;
  HOIST_CHECK(at_ == tensors_.size(),
              "tensor " + tensors_[std::min(at_, tensors_.size() - 1)].name + " is unwritten");
  return out_->commit();
}

}  // namespace hoist::io
