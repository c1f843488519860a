// The header: parsing with one refusal per rule of the format.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/safetensors_dtypes.h"

namespace hoist::io {
namespace {

TensorInfo parse_tensor(std::string_view name, const Json& entry) {
  if (!entry.is_object()) entry.refuse("an object with dtype, shape and data_offsets");
  TensorInfo tensor;
  tensor.name = name;
  const Json dtype = entry.at("dtype");
  tensor.dtype_text = dtype.as_string();
  const StoredType* type = find_stored_type(tensor.dtype_text);
  if (!type) dtype.refuse("an element type of the format, such as F32 or BF16");
  tensor.dtype = type->dtype;
  const Json shape = entry.at("shape");
  for (const Json dim : shape.elements()) tensor.shape.push_back(dim.as_int(0));
  const Json offsets = entry.at("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2) offsets.refuse("two offsets");
  auto offset = offsets.elements().begin();
  tensor.begin = (*offset).as_int(0);
  ++offset;
  tensor.end = (*offset).as_int(0);
  if (tensor.end < tensor.begin) offsets.refuse("an end that is not before the beginning");

  uint64_t bits = 1;
  bool fits = true;
  for (int64_t dim : tensor.shape)
    fits = fits && !__builtin_mul_overflow(bits, static_cast<uint64_t>(dim), &bits);
  fits = fits && !__builtin_mul_overflow(bits, static_cast<uint64_t>(type->bits), &bits);
  if (!fits) shape.refuse("a size that fits into 64 bits");
  if (bits % 8 != 0) shape.refuse(fmt::format("a whole number of bytes of {}-bit elements", type->bits));
  if (bits / 8 != static_cast<uint64_t>(tensor.bytes()))
    offsets.refuse(fmt::format("{} bytes between them, as dtype and shape say", bits / 8));
  return tensor;
}

StringMap parse_metadata(const Json& value) {
  StringMap map;
  if (!value.is_object()) value.refuse("an object of strings");
  for (const auto& [key, text] : value.members()) map.emplace(key, text.as_string());
  return map;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const char> head, int64_t file_bytes,
                                           const std::string& source) {
  if (file_bytes < 8)
    throw_corrupt(
        fmt::format("{}: found {} bytes, expected at least the 8 of the header length", source, file_bytes));
  uint64_t length;
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(&length, head.data(), 8);
  if (length > static_cast<uint64_t>(SafetensorsFile::kMaxHeaderBytes))
    throw_corrupt(fmt::format("{}: header length: found {}, expected at most {}", source, length,
                              SafetensorsFile::kMaxHeaderBytes));
  if (length > static_cast<uint64_t>(file_bytes - 8))
    throw_corrupt(fmt::format("{}: header length: found {}, but the file has only {} bytes after it", source,
                              length, file_bytes - 8));
  const std::string_view text(head.data() + 8, static_cast<size_t>(length));
  if (text.empty() || text[0] != '{')
    throw_corrupt(fmt::format("{}: header: found {} as first byte, expected {{", source,
                              text.empty() ? "nothing" : json_quote(text.substr(0, 1))));

  JsonOptions options;
  options.max_bytes = static_cast<size_t>(SafetensorsFile::kMaxHeaderBytes);
  options.value_error = ErrorCode::kCorrupt;
  const JsonDocument doc = JsonDocument::parse(text, source + ": header", options);
  SafetensorsHeader header;
  header.data_start = 8 + static_cast<int64_t>(length);
  header.tensors.reserve(doc.root().size());
  for (const auto& [name, value] : doc.root().members()) {
    if (name == "__metadata__")
      header.metadata = parse_metadata(value);
    else
      header.tensors.push_back(parse_tensor(name, value));
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  int64_t at = 0;
  for (const TensorInfo& tensor : header.tensors) {
    if (tensor.begin != at)
      throw_corrupt(
          fmt::format("{}: {}: data_offsets: begins at {}, expected {}: {}", source,
                      json_quote(tensor.name.substr(0, 200)), tensor.begin, at,
                      tensor.begin > at ? "there is a hole before it" : "it overlaps the tensor before it"));
    at = tensor.end;
  }
  const int64_t data_bytes = file_bytes - header.data_start;
  if (at != data_bytes)
    throw_corrupt(
        fmt::format("{}: found {} bytes of data, expected {} as the header says", source, data_bytes, at));
  return header;
}

}  // namespace hoist::io
