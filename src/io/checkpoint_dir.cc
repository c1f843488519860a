#include "io/checkpoint_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/error.h"
#include "io/file_ops.h"
#include "io/json.h"

namespace hoist::io {
namespace {

constexpr std::string_view kManifest = "manifest.json";
constexpr std::string_view kStep = "step-";
constexpr std::string_view kStaged = ".tmp-";
constexpr std::string_view kDoomed = ".tmp-delete-";
constexpr size_t kMaxManifestBytes = size_t{16} << 20;

std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kStep)) return std::nullopt;
  name.remove_prefix(kStep.size());
  if (name.size() < 8 || name.size() > 18) return std::nullopt;
  int64_t step = 0;
  for (char c : name) {
    if (c < '0' || c > '9') return std::nullopt;
    step = step * 10 + (c - '0');
  }
  return step;
}

void rename_or_throw(const std::string& from, const std::string& to) {
  if (file_ops().rename(from.c_str(), to.c_str()) != 0) throw_io(from + ": cannot rename to " + to, errno);
}

void fsync_file(const std::string& path) {
  const int fd = file_ops().open(path.c_str(), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) throw_io(path + ": cannot open", errno);
  const int failed = file_ops().fsync(fd) == 0 ? 0 : errno;
  file_ops().close(fd);
  if (failed) throw_io(path + ": cannot fsync", failed);
}

void remove_checkpoint(const std::string& root, const std::string& name) {
  const std::string doomed = join_path(root, std::string(kDoomed) + name);
  if (path_exists(doomed)) remove_tree(doomed);
  rename_or_throw(join_path(root, name), doomed);
  remove_tree(doomed);
}

}  // namespace

std::string checkpoint_name(int64_t step) { return fmt::format("{}{:08}", kStep, step); }

StagedFolder::StagedFolder(std::string root, std::string name)
    : root_(std::move(root)),
      name_(std::move(name)),
      staged_(join_path(root_, fmt::format("{}{}-{}", kStaged, name_, ::getpid()))) {
  make_dirs(root_);
  if (path_exists(staged_)) remove_tree(staged_);  // of a dead process that had our pid
  if (file_ops().mkdir(staged_.c_str(), 0777) != 0) throw_io(staged_ + ": cannot make the folder", errno);
}

StagedFolder::~StagedFolder() {
  if (committed_) return;
  try {
    remove_tree(staged_);
  } catch (const std::exception&) {
    // The save has failed already and says why; remove_leftovers gets another chance at the next start.
  }
}

void StagedFolder::add(const std::string& file, FileDigest digest) { digests_[file] = std::move(digest); }

void StagedFolder::add(const std::vector<std::pair<std::string, FileDigest>>& files) {
  for (const auto& [file, digest] : files) add(file, digest);
}

std::string StagedFolder::commit() {
  HOIST_CHECK(!committed_, "committed twice");
  std::string text = "{\n  \"format\": \"hoist-manifest\",\n  \"version\": 1,\n  \"files\": {";
  bool first = true;
  for (const std::string& file : list_dir(staged_)) {
    const std::string path = join_path(staged_, file);
    HOIST_CHECK(!is_directory(path), "a staged folder holds plain files only");
    auto known = digests_.find(file);
    if (known == digests_.end()) {
      fsync_file(path);
      known = digests_.emplace(file, digest_file(path)).first;
    }
    text += fmt::format("{}\n    {}: {{\"bytes\": {}, \"xxh3_128\": \"{}\"}}", first ? "" : ",",
                        json_quote(file), known->second.bytes, known->second.xxh3_128);
    first = false;
  }
  text += "\n  }\n}\n";
  atomic_write(join_path(staged_, kManifest), text);  // ends with the fsync of the folder

  const std::string final_path = join_path(root_, name_);
  if (!path_exists(final_path)) {
    rename_or_throw(staged_, final_path);
    committed_ = true;
  } else if (file_ops().exchange(staged_.c_str(), final_path.c_str()) == 0) {
    committed_ = true;
    fsync_dir(root_);
    remove_tree(staged_);  // the old one has our name now
  } else if (errno == EINVAL || errno == ENOSYS) {
    remove_checkpoint(root_, name_);
    rename_or_throw(staged_, final_path);
    committed_ = true;
  } else {
    throw_io(staged_ + ": cannot exchange with " + final_path, errno);
  }
  fsync_dir(root_);
  return final_path;
}

std::vector<std::pair<std::string, FileDigest>> parse_manifest(std::string_view json,
                                                               const std::string& source) {
  JsonOptions options;
  options.max_bytes = kMaxManifestBytes;
  options.value_error = ErrorCode::kCorrupt;
  const JsonDocument doc = JsonDocument::parse(json, source, options);
  if (doc.root().get_string("format") != "hoist-manifest") doc.root().at("format").refuse("hoist-manifest");
  doc.root().get_int("version", 1, 1);
  std::vector<std::pair<std::string, FileDigest>> files;
  for (const auto& [name, entry] : doc.root().at("files").members()) {
    check_file_name(name, source);
    files.push_back({std::string(name),
                     {entry.get_int("bytes", 0, INT64_MAX), std::string(entry.get_string("xxh3_128"))}});
  }
  return files;
}

void verify_manifest(const std::string& folder, bool hash) {
  const std::string path = join_path(folder, kManifest);
  for (const auto& [name, expected] : parse_manifest(read_file(path, kMaxManifestBytes), path)) {
    const std::string file = join_path(folder, name);
    const int64_t found = file_size(file);
    if (found < 0) throw_corrupt(file + ": the manifest lists it, but it is missing");
    if (found != expected.bytes)
      throw_corrupt(fmt::format("{}: found {} bytes, expected {}", file, found, expected.bytes));
    if (!hash) continue;
    const FileDigest digest = digest_file(file);
    if (digest.xxh3_128 != expected.xxh3_128)
      throw_corrupt(fmt::format("{}: found checksum {}, expected {}: its bytes changed after it was saved",
                                file, digest.xxh3_128, expected.xxh3_128));
  }
}

std::vector<CheckpointRef> list_checkpoints(const std::string& root) {
  std::vector<CheckpointRef> list;
  if (!is_directory(root)) return list;
  for (const std::string& name : list_dir(root)) {
    const auto step = step_of(name);
    const std::string path = join_path(root, name);
    if (step && is_directory(path)) list.push_back({*step, path});
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return list;
}

NewestCheckpoint find_newest_checkpoint(const std::string& root) {
  NewestCheckpoint newest;
  if (is_directory(root))
    for (const std::string& name : list_dir(root))
      if (name.starts_with(std::string(kStaged) + std::string(kStep)))
        newest.skipped.push_back({join_path(root, name), "its save was not finished"});
  std::vector<CheckpointRef> list = list_checkpoints(root);
  for (; !list.empty(); list.pop_back()) {
    try {
      verify_manifest(list.back().path);
      newest.found = list.back();
      return newest;
    } catch (const Error& error) {
      newest.skipped.push_back({list.back().path, error.what()});
    }
  }
  return newest;
}

void rotate_checkpoints(const std::string& root, int keep) {
  HOIST_CHECK(keep >= 1, "the newest checkpoint is always kept");
  const std::vector<CheckpointRef> list = list_checkpoints(root);
  size_t oldest_kept = list.size();
  while (oldest_kept > 0 && keep > 0) {
    try {
      verify_manifest(list[--oldest_kept].path, /*hash=*/false);
      --keep;
    } catch (const Error&) {
      // Incomplete: it stays for its owner to look at, and takes no complete one's place.
    }
  }
  for (size_t i = 0; i < oldest_kept; ++i)
    remove_checkpoint(root, list[i].path.substr(list[i].path.find_last_of('/') + 1));
}

void remove_leftovers(const std::string& root) {
  if (!is_directory(root)) return;
  for (const std::string& name : list_dir(root)) {
    const std::string path = join_path(root, name);
    if (name.starts_with(kStaged) && is_directory(path))
      remove_tree(path);
    else if (name.starts_with('.') && name.find(".tmp-") != std::string::npos)
      remove_file(path);
  }
}

}  // namespace hoist::io
