// Numbered checkpoint folders of a run: root/step-00000100/ and so on, each with a manifest.json of its
// files.
//
// A save writes into a folder whose name starts with ".tmp-", makes every file durable, and renames: a folder
// called step-N is complete, or the disk damaged it later, which the manifest's checksums (XXH3-128) show.
// Order of a commit: files fsynced, manifest, folder fsynced, rename, root fsynced. Entry points:
// StagedFolder to save, find_newest_checkpoint to resume, rotate_checkpoints after a save. One process at a
// time may save into a root: hold a DirLock on it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/files.h"

namespace hoist::io {

std::string checkpoint_name(int64_t step);  // "step-00000100"

// A folder that appears at root/name in one step by commit(), or not at all.
class StagedFolder {
 public:
  StagedFolder(std::string root, std::string name);
  ~StagedFolder();  // without commit: removes what was written
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::string& path() const { return staged_; }  // write plain files here
  // Spares commit() from reading a file again that io's writers have just hashed.
  void add(const std::string& file, FileDigest digest);
  void add(const std::vector<std::pair<std::string, FileDigest>>& files);
  // Returns the final path. A folder of that name is replaced.
  std::string commit();

 private:
  std::string root_, name_, staged_;
  std::map<std::string, FileDigest> digests_;
  bool committed_ = false;
};

// Throws kCorrupt naming the first file that is absent, has another size, or (when `hash`) other bytes than
// folder/manifest.json says; kNotFound when there is no manifest.
void verify_manifest(const std::string& folder, bool hash = true);

// (file, digest) pairs of a manifest's text; the names are checked. Exposed for fuzzing.
std::vector<std::pair<std::string, FileDigest>> parse_manifest(std::string_view json,
                                                               const std::string& source);

struct CheckpointRef {
  int64_t step = 0;
  std::string path;
};

// Folders called step-N under root, complete or not, by ascending step. None if there is no root.
std::vector<CheckpointRef> list_checkpoints(const std::string& root);

struct SkippedCheckpoint {
  std::string path, reason;
};
struct NewestCheckpoint {
  std::optional<CheckpointRef> found;
  std::vector<SkippedCheckpoint> skipped;  // newest first; tell the user
};

// The newest checkpoint whose every byte is what was saved.
NewestCheckpoint find_newest_checkpoint(const std::string& root);

// Removes all but the `keep` newest checkpoints that have all their files (by size; those without do not
// count, so the last good one is never removed). Each is renamed away first, so that no half-removed one is
// ever found.
void rotate_checkpoints(const std::string& root, int keep);

// Removes what killed saves and removals left in root. Only under the root's DirLock.
void remove_leftovers(const std::string& root);

}  // namespace hoist::io
