// The weight files of a model: model.safetensors in a folder, or shards with model.safetensors.index.json, or
// a GGUF file.
//
// Entry points: CheckpointFiles to read a folder (or one .safetensors or .gguf file), CheckpointWriter to
// write one. Everything the index and the headers say about each other is checked both ways before any weight
// is read, and no name can lead out of the folder. Pickles (.bin, .pt) are refused with advice, never opened.
// Threads: reads are thread-safe; a writer belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "io/tensor_file.h"

namespace hoist::io {

class GgufSet;
struct ModelConfig;

inline constexpr int64_t kDefaultShardBytes = 5'000'000'000;

class CheckpointFiles {
 public:
  explicit CheckpointFiles(const std::string& path);
  // The tensors of GGUF files under their names in Hugging Face checkpoints; `config` is what the files say.
  CheckpointFiles(std::shared_ptr<const GgufSet> set, const ModelConfig& config);

  struct Entry {
    const TensorFile* file;
    const TensorInfo* info;
  };
  const std::vector<Entry>& tensors() const { return entries_; }  // shard by shard, by offset
  const std::vector<std::unique_ptr<TensorFile>>& shards() const { return shards_; }
  const Entry* find(std::string_view name) const;  // null if absent
  const Entry& at(std::string_view name) const;    // throws kNotFound naming folder and tensor
  int64_t data_bytes() const;
  const std::string& path() const { return path_; }

  // Elements first..first+count of the flattened tensor, as `dtype`.
  void read_as(std::string_view name, DType dtype, void* destination, int64_t first, int64_t count) const;
  // The block format the tensor is stored in ("q4_k"), empty when it is dense.
  const std::string& format(std::string_view name) const { return at(name).info->format; }
  // Rows of the stored matrix as they lie: see TensorFile::read_rows, and TensorInfo::transposed.
  void read_rows(std::string_view name, int64_t first_row, int64_t rows, void* destination) const;

 private:
  void add_shard(std::unique_ptr<TensorFile> file);
  void check_index(const std::vector<std::pair<std::string, std::string>>& weight_map,
                   const std::string& source);
  std::string path_;
  std::vector<std::unique_ptr<TensorFile>> shards_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string_view, size_t> by_name_;
};

// (tensor, file) pairs of an index, in its order; file names are checked. Exposed for fuzzing.
std::vector<std::pair<std::string, std::string>> parse_weight_index(std::string_view json,
                                                                    const std::string& source);

// Throws kUnsupported with advice when `path` names a pickle or another format we do not read.
void refuse_foreign_weights(const std::string& path);

// Writes the weights of a model into a folder that exists, as one file or as shards of at most
// `max_shard_bytes` (a bigger tensor gets one of its own), filled greedily in the order of `specs`. Files of
// an earlier save that would be read with ours or instead of them are removed. For all or nothing, write into
// a StagedFolder.
class CheckpointWriter {
 public:
  CheckpointWriter(std::string folder, const std::vector<TensorSpec>& specs,
                   int64_t max_shard_bytes = kDefaultShardBytes);
  ~CheckpointWriter();

  // The order in which they must be written.
  const std::vector<TensorSpec>& order() const { return order_; }
  void write(std::string_view name, const void* data, int64_t bytes);
  void write_as(std::string_view name, DType from, const void* data, int64_t count);
  // (file name, digest) of all it wrote.
  std::vector<std::pair<std::string, FileDigest>> finish();

 private:
  struct Shard {
    std::string file;
    std::vector<TensorSpec> specs;
  };
  SafetensorsWriter& writer_for(std::string_view name);
  void finish_shard();
  void remove_stale() const;
  std::string folder_;
  std::vector<Shard> shards_;
  std::vector<TensorSpec> order_;
  std::unordered_map<std::string, size_t> shard_of_;
  std::unique_ptr<SafetensorsWriter> writer_;
  size_t current_ = 0;
  std::vector<std::pair<std::string, FileDigest>> written_;
  int64_t total_bytes_ = 0;
};

}  // namespace hoist::io
