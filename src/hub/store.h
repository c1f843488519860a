// The folder where pulled models lie: <store>/<organisation>/<name>/, each with a record of what was pulled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hoist::hub {

// $HOIST_MODELS, else $XDG_DATA_HOME/hoist/models, else ~/.local/share/hoist/models. Throws Error when there
// is no home either.
std::string store_folder();

// "org/name" of letters, digits, '.', '_' and '-', no part beginning with a dot. Throws Error led by
// `source`.
void check_model_name(const std::string& name, const std::string& source);

struct StoredModel {
  std::string name, folder;
  std::string revision;  // commit that was pulled
  int64_t bytes = 0;     // of files that are there
  int64_t expected = 0;  // of all files of the pull
  bool complete = false;
};
// By name. What cannot be read is passed over.
std::vector<StoredModel> stored_models(const std::string& store);
// Throws Error(kNotFound) naming those there are.
StoredModel find_model(const std::string& store, const std::string& name);
void remove_model(const std::string& store, const std::string& name);

// What commands take for a model: an existing path as it is, else a complete model of the store (for one that
// is a single GGUF set, its first file). Throws Error saying how to pull it.
std::string resolve_model(const std::string& given);

struct PulledFile {
  std::string path;  // below the model's folder
  int64_t bytes = 0;
  std::string sha256;  // of large files
  std::string sha1;    // git's blob digest, of the others
};
struct PullRecord {
  std::string name, revision, endpoint;
  std::vector<PulledFile> files;
  bool complete = false;
};
// The record beside a model's files (.hoist-pull.json).
void write_record(const std::string& folder, const PullRecord& record);
PullRecord read_record(const std::string& folder);
// Each part of a path from outside is a plain name; throws Error(kCorrupt) led by `source`.
void check_relative_path(const std::string& path, const std::string& source);

}  // namespace hoist::hub
