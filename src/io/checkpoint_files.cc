#include "io/checkpoint_files.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "io/gguf.h"
#include "io/gguf_model.h"
#include "io/json.h"

namespace hoist::io {
namespace {

constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr size_t kMaxIndexBytes = size_t{128} << 20;

}  // namespace

void refuse_foreign_weights(const std::string& path) {
  for (std::string_view suffix : {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
    if (path.ends_with(suffix))
      throw_unsupported(fmt::format(
          "{}: found a Python pickle, expected safetensors: a pickle can run code when it is read, so it is "
          "never opened; convert it once where you trust it (in transformers: "
          "model.save_pretrained(folder, safe_serialization=True))",
          path));
  for (std::string_view suffix : {".h5", ".msgpack", ".onnx"})
    if (path.ends_with(suffix))
      throw_unsupported(fmt::format("{}: found a {} file, expected a folder with config.json and safetensors",
                                    path, suffix));
}

std::vector<std::pair<std::string, std::string>> parse_weight_index(std::string_view json,
                                                                    const std::string& source) {
  JsonOptions options;
  options.max_bytes = kMaxIndexBytes;
  options.value_error = ErrorCode::kCorrupt;
  const JsonDocument doc = JsonDocument::parse(json, source, options);
  std::vector<std::pair<std::string, std::string>> map;
  const Json weight_map = doc.root().at("weight_map");
  if (!weight_map.is_object()) weight_map.refuse("an object from tensor names to file names");
  map.reserve(weight_map.size());
  for (const auto& [name, file] : weight_map.members()) {
    const std::string_view file_name = file.as_string();
    check_file_name(file_name, source + ": weight_map");
    if (!file_name.ends_with(".safetensors")) {
      refuse_foreign_weights(source + ": weight_map: " + std::string(file_name));
      file.refuse("a name that ends in .safetensors");
    }
    map.emplace_back(name, file_name);
  }
  if (map.empty()) weight_map.refuse("at least one tensor");
  return map;
}

CheckpointFiles::CheckpointFiles(const std::string& path) : path_(path) {
  if (!is_directory(path)) {
    refuse_foreign_weights(path);
    if (path.ends_with(".gguf")) {
      const auto set = GgufSet::open(path);
      *this = CheckpointFiles(set, read_gguf_config(*set));
      return;
    }
    if (path_exists(path) && !path.ends_with(".safetensors"))
      throw_unsupported(path + ": found a file, expected a model folder, a .safetensors or a .gguf file");
    add_shard(std::make_unique<SafetensorsFile>(path));
  } else if (path_exists(join_path(path, kSingle))) {
    add_shard(std::make_unique<SafetensorsFile>(join_path(path, kSingle)));
  } else if (const std::string index = join_path(path, kIndex); path_exists(index)) {
    const auto weight_map = parse_weight_index(read_file(index, kMaxIndexBytes), index);
    std::set<std::string_view> files;
    for (const auto& [name, file] : weight_map) files.insert(file);
    // All of them, before any is opened: a half-downloaded model is best told at once.
    for (std::string_view file : files)
      if (!path_exists(join_path(path, file)))
        throw_not_found(fmt::format("{}: weight_map names {}, which is not in the folder", index, file));
    for (std::string_view file : files) add_shard(std::make_unique<SafetensorsFile>(join_path(path, file)));
    check_index(weight_map, index);
    return;
  } else {
    for (const std::string& name : list_dir(path)) {
      refuse_foreign_weights(join_path(path, name));
      if (name.ends_with(".gguf"))
        throw_not_found(fmt::format("{}: found no {}; for the GGUF file in it give its own path, {}", path,
                                    kSingle, join_path(path, name)));
    }
    throw_not_found(fmt::format("{}: found neither {} nor {}", path, kSingle, kIndex));
  }
}

CheckpointFiles::CheckpointFiles(std::shared_ptr<const GgufSet> set, const ModelConfig& config)
    : path_(set->path()) {
  for (auto& part : open_gguf_tensors(set, config)) add_shard(std::move(part));
}

void CheckpointFiles::add_shard(std::unique_ptr<TensorFile> added) {
  shards_.push_back(std::move(added));
  const TensorFile& shard = *shards_.back();
  const std::string& file = shard.path();
  for (const auto& other : shards_)
    if (other.get() != &shard && other->identity() == shard.identity())
      throw_corrupt(fmt::format("{}: is the same file as {}", file, other->path()));
  for (const TensorInfo& info : shard.tensors()) {
    const auto [at, fresh] = by_name_.emplace(info.name, entries_.size());
    if (!fresh)
      throw_corrupt(fmt::format("{}: {}: is already in {}", file, json_quote(info.name),
                                entries_[at->second].file->path()));
    entries_.push_back({&shard, &info});
  }
}

void CheckpointFiles::check_index(const std::vector<std::pair<std::string, std::string>>& weight_map,
                                  const std::string& source) {
  for (const auto& [name, file] : weight_map) {
    const Entry* entry = find(name);
    if (!entry || entry->file->path() != join_path(path_, file))
      throw_corrupt(fmt::format("{}: weight_map says that {} is in {}, which does not hold it", source,
                                json_quote(name), file));
  }
  if (weight_map.size() == entries_.size()) return;  // names are unique on both sides
  std::set<std::string_view> mapped;
  for (const auto& [name, file] : weight_map) mapped.insert(name);
  for (const Entry& entry : entries_)
    if (!mapped.contains(entry.info->name))
      throw_corrupt(fmt::format("{}: weight_map does not name {}, which is in {}", source,
                                json_quote(entry.info->name), entry.file->path()));
}

const CheckpointFiles::Entry* CheckpointFiles::find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &entries_[at->second];
}

const CheckpointFiles::Entry& CheckpointFiles::at(std::string_view name) const {
  const Entry* entry = find(name);
  if (!entry) throw_not_found(fmt::format("{}: no tensor named {}", path_, json_quote(name)));
  return *entry;
}

int64_t CheckpointFiles::data_bytes() const {
  int64_t bytes = 0;
  for (const auto& shard : shards_) bytes += shard->data_bytes();
  return bytes;
}

void CheckpointFiles::read_as(std::string_view name, DType dtype, void* destination, int64_t first,
                              int64_t count) const {
  const Entry& entry = at(name);
  entry.file->read_as(*entry.info, dtype, destination, first, count);
}

void CheckpointFiles::read_rows(std::string_view name, int64_t first_row, int64_t rows,
                                void* destination) const {
  const Entry& entry = at(name);
  entry.file->read_rows(*entry.info, first_row, rows, destination);
}

CheckpointWriter::CheckpointWriter(std::string folder, const std::vector<TensorSpec>& specs,
                                   int64_t max_shard_bytes)
    : folder_(std::move(folder)) {
  HOIST_CHECK(max_shard_bytes > 0, "shards need room");
  int64_t filled = 0;
  for (const TensorSpec& spec : specs) {
    int64_t bytes = dtype_size(spec.dtype);
    for (int64_t dim : spec.shape)
      if (dim < 0 || __builtin_mul_overflow(bytes, dim, &bytes))
        bytes = max_shard_bytes;  // refused by its writer
    if (shards_.empty() || (filled > 0 && bytes > max_shard_bytes - filled)) {
      shards_.emplace_back();
      filled = 0;
    }
    if (!shard_of_.emplace(spec.name, shards_.size() - 1).second)
      throw_invalid(fmt::format("{}: tensor {} is declared twice", folder_, json_quote(spec.name)));
    shards_.back().specs.push_back(spec);
    filled += bytes;
    total_bytes_ += bytes;
  }
  if (shards_.empty()) shards_.emplace_back();
  for (size_t i = 0; i < shards_.size(); ++i) {
    Shard& shard = shards_[i];
    shard.file = shards_.size() == 1 ? std::string(kSingle)
                                     : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards_.size());
    for (const TensorInfo& info : canonical_layout(shard.specs, shard.file))
      order_.push_back({info.name, *info.dtype, info.shape});
  }
  // An old index beside new shards of the same names would read as a mixture if we were stopped half-way.
  if (shards_.size() > 1) remove_file(join_path(folder_, kIndex));
}

CheckpointWriter::~CheckpointWriter() = default;

SafetensorsWriter& CheckpointWriter::writer_for(std::string_view name) {
  const auto shard = shard_of_.find(std::string(name));
  HOIST_CHECK(shard != shard_of_.end(), "tensor " + std::string(name) + " was not declared");
  while (current_ < shard->second) finish_shard();
  if (!writer_)
    writer_ = std::make_unique<SafetensorsWriter>(join_path(folder_, shards_[current_].file),
                                                  shards_[current_].specs);
  return *writer_;
}

void CheckpointWriter::finish_shard() {
  if (!writer_)
    writer_ = std::make_unique<SafetensorsWriter>(join_path(folder_, shards_[current_].file),
                                                  shards_[current_].specs);
  written_.emplace_back(shards_[current_].file, writer_->finish());
  writer_.reset();
  ++current_;
}

void CheckpointWriter::write(std::string_view name, const void* data, int64_t bytes) {
  writer_for(name).write(name, data, bytes);
}

void CheckpointWriter::write_as(std::string_view name, DType from, const void* data, int64_t count) {
  writer_for(name).write_as(name, from, data, count);
}

std::vector<std::pair<std::string, FileDigest>> CheckpointWriter::finish() {
  while (current_ < shards_.size()) finish_shard();
  if (shards_.size() > 1) {
    std::map<std::string_view, std::string_view> map;
    for (const Shard& shard : shards_)
      for (const TensorSpec& spec : shard.specs) map.emplace(spec.name, shard.file);
    std::string text = fmt::format(
        "{{\n  \"metadata\": {{\n    \"total_size\": {}\n  }},\n  \"weight_map\": {{", total_bytes_);
    for (bool first = true; const auto& [name, file] : map) {
      text += fmt::format("{}\n    {}: {}", first ? "" : ",", json_quote(name), json_quote(file));
      first = false;
    }
    text += "\n  }\n}\n";
    FileWriter index(join_path(folder_, kIndex));
    index.write(text.data(), text.size());
    written_.emplace_back(std::string(kIndex), index.commit());
  }
  remove_stale();
  return std::move(written_);
}

void CheckpointWriter::remove_stale() const {
  std::set<std::string_view> ours;
  for (const Shard& shard : shards_) ours.insert(shard.file);
  if (shards_.size() > 1) ours.insert(kIndex);
  for (const std::string& name : list_dir(folder_)) {
    const bool weights = name == kSingle || name == kIndex ||
                         (name.starts_with("model-") && name.find("-of-") != std::string::npos &&
                          name.ends_with(".safetensors"));
    if (weights && !ours.contains(name)) remove_file(join_path(folder_, name));
  }
}

}  // namespace hoist::io
