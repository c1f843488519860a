#include "io/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "io/json.h"

namespace hoist::io {
namespace {

constexpr int kMaxParts = 10000;

// "stem-00002-of-00005.gguf".
struct PartName {
  std::string stem;
  int number = 0, count = 0;
};
std::optional<PartName> part_name(std::string_view path) {
  constexpr std::string_view kEnd = ".gguf", kOf = "-of-";
  if (!path.ends_with(kEnd)) return std::nullopt;
  path.remove_suffix(kEnd.size());
  const auto digits = [&](int& out) {
    if (path.size() < 6) return false;
    out = 0;
    for (char c : path.substr(path.size() - 5)) {
      if (c < '0' || c > '9') return false;
      out = out * 10 + (c - '0');
    }
    path.remove_suffix(5);
    return true;
  };
  PartName name;
  if (!digits(name.count) || !path.ends_with(kOf)) return std::nullopt;
  path.remove_suffix(kOf.size());
  if (!digits(name.number) || !path.ends_with('-')) return std::nullopt;
  path.remove_suffix(1);
  name.stem = path;
  return name;
}

template <class T>
void append(std::string& out, T x) {
  out.append(reinterpret_cast<const char*>(&x), sizeof x);
}
void append_text(std::string& out, std::string_view text) {
  append<uint64_t>(out, text.size());
  out += text;
}
void append_value(std::string& out, const GgufValue& value) {
  if (value.is_array) append(out, static_cast<uint32_t>(GgufType::kArray));
  append(out, static_cast<uint32_t>(value.type));
  if (value.is_array) append<uint64_t>(out, value.count);
  if (value.type != GgufType::kString) {
    out += value.bytes;
    return;
  }
  for (uint64_t i = 0; i < value.count; ++i) append_text(out, value.text(i));
}

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

GgufFile::GgufFile(const std::string& path) : file_(path) {
  header_ = parse_gguf_header([&](int64_t at, void* to, size_t bytes) { file_.read(at, to, bytes); },
                              file_.size(), path);
}

int64_t GgufFile::data_bytes() const {
  int64_t bytes = 0;
  for (const GgufTensor& tensor : tensors()) bytes += tensor.bytes;
  return bytes;
}

void GgufFile::read(const GgufTensor& tensor, int64_t first_byte, int64_t bytes, void* destination) const {
  HOIST_CHECK(
      first_byte >= 0 && bytes >= 0 && first_byte <= tensor.bytes && bytes <= tensor.bytes - first_byte,
      "range outside tensor " + tensor.name);
  file_.read(header_.data_start + tensor.offset + first_byte, destination, static_cast<size_t>(bytes));
}

std::shared_ptr<const GgufSet> GgufSet::open(const std::string& path) {
  auto set = std::make_shared<GgufSet>();
  const auto name = part_name(path);
  if (!name) {
    set->parts_.push_back(std::make_unique<GgufFile>(path));
    if (const auto count = set->metadata().integer("split.count", 0, 65535); count && *count > 1)
      throw_corrupt(
          fmt::format("{}: split.count: found {} parts, expected a name that ends in -00001-of-{:05}.gguf",
                      path, *count, *count));
    return set;
  }
  if (name->count < 1 || name->count > kMaxParts || name->number < 1 || name->number > name->count)
    throw_invalid(fmt::format("{}: found part {} of {}, expected a part from 1 to their number, at most {}",
                              path, name->number, name->count, kMaxParts));
  std::vector<std::string> files;
  for (int i = 1; i <= name->count; ++i) {
    files.push_back(fmt::format("{}-{:05}-of-{:05}.gguf", name->stem, i, name->count));
    if (!path_exists(files.back()))
      throw_not_found(fmt::format("{}: found no such file, expected all {} parts in one folder", files.back(),
                                  name->count));
  }
  std::set<std::string_view> names;
  int64_t tensors = 0;
  for (int i = 0; i < name->count; ++i) {
    set->parts_.push_back(std::make_unique<GgufFile>(files[static_cast<size_t>(i)]));
    const GgufFile& part = *set->parts_.back();
    const auto count = part.metadata().integer("split.count", 0, 65535);
    const auto number = part.metadata().integer("split.no", 0, 65535);
    if (count.value_or(1) != name->count)
      throw_corrupt(fmt::format("{}: split.count: found {}, expected {} as its name says", part.path(),
                                count.value_or(1), name->count));
    if (number.value_or(0) != i)
      throw_corrupt(fmt::format("{}: split.no: found {}, expected {} as its name says", part.path(),
                                number.value_or(0), i));
    for (const GgufTensor& tensor : part.tensors())
      if (!names.insert(tensor.name).second)
        throw_corrupt(
            fmt::format("{}: tensor {}: is in another part too", part.path(), json_quote(tensor.name)));
    tensors += static_cast<int64_t>(part.tensors().size());
  }
  const auto expected = set->metadata().integer("split.tensors.count", 0, INT64_MAX);
  if (expected && *expected != tensors)
    throw_corrupt(fmt::format("{}: split.tensors.count: found {}, expected the {} tensors of all parts",
                              set->path(), *expected, tensors));
  return set;
}

GgufWriter::GgufWriter(std::string path, const GgufMetadata& metadata,
                       const std::vector<GgufTensorSpec>& specs) {
  std::string header("GGUF", 4);
  append<uint32_t>(header, 3);
  append<uint64_t>(header, specs.size());
  append<uint64_t>(header, metadata.entries().size());
  for (const auto& [key, value] : metadata.entries()) {
    HOIST_CHECK(!key.empty() && key != "general.alignment", "a key we may write");
    append_text(header, key);
    append_value(header, value);
  }
  int64_t offset = 0;
  std::set<std::string_view> names;
  for (const GgufTensorSpec& spec : specs) {
    if (spec.name.size() > 63 || !names.insert(spec.name).second)
      throw_invalid(fmt::format(
          "{}: tensor {}: found a name of {} bytes or twice, expected one of at most 63 bytes, once", path,
          json_quote(spec.name), spec.name.size()));
    GgufTensor tensor{spec.name, spec.type, spec.dims, offset, 0};
    HOIST_CHECK(!spec.dims.empty() && spec.dims.size() <= 4 && spec.dims[0] % spec.type->block == 0,
                "rows are whole blocks");
    tensor.bytes = tensor.elements() / spec.type->block * spec.type->bytes;
    append_text(header, spec.name);
    append(header, static_cast<uint32_t>(spec.dims.size()));
    for (int64_t dim : spec.dims) append(header, dim);
    append(header, spec.type->id);
    append(header, static_cast<uint64_t>(offset));
    offset = round_up(offset + tensor.bytes, kAlignment);
    tensors_.push_back(std::move(tensor));
  }
  header.resize(static_cast<size_t>(round_up(static_cast<int64_t>(header.size()), kAlignment)), '\0');
  out_ = std::make_unique<FileWriter>(std::move(path));
  out_->write(header.data(), header.size());
}

GgufWriter::~GgufWriter() = default;

int64_t GgufWriter::data_bytes() const {
  return tensors_.empty() ? 0 : tensors_.back().offset + tensors_.back().bytes;
}

void GgufWriter::write(std::string_view name, const void* data, int64_t bytes) {
  HOIST_CHECK(at_ < tensors_.size() && tensors_[at_].name == name,
              "tensor " + std::string(name) + " written out of turn");
  const GgufTensor& tensor = tensors_[at_];
  HOIST_CHECK(bytes >= 0 && bytes <= tensor.bytes - written_, "too many bytes for tensor " + tensor.name);
  out_->write(data, static_cast<size_t>(bytes));
  written_ += bytes;
  if (written_ < tensor.bytes) return;
  // Padded behind the last one too: readers ask for whole aligned pieces.
  static constexpr char kZeros[kAlignment] = {};
  out_->write(kZeros, static_cast<size_t>(round_up(tensor.bytes, kAlignment) - tensor.bytes));
  ++at_;
  written_ = 0;
}

FileDigest GgufWriter::finish() {
  HOIST_CHECK(at_ == tensors_.size(), "a tensor is unwritten");
  return out_->commit();
}

}  // namespace hoist::io
