// Files and folders with the promises that checkpoints need: a file is either the old one or the new one,
// never half of either; what commit() returned from survives a power cut; a failure is an Error that names
// path and errno.
//
// Entry points: read_file, atomic_write, FileWriter (the streaming form), DirLock.
// Threads: separate objects may be used from separate threads.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hoist::io {

// The whole file. Refuses what is no regular file, and more than `max_bytes` before reading any.
std::string read_file(const std::string& path, size_t max_bytes);

// Replaces `path` by `bytes`: temporary name beside it, fsync, rename, fsync of the folder.
void atomic_write(const std::string& path, std::string_view bytes);

void fsync_dir(const std::string& path);
void make_dirs(const std::string& path);  // like mkdir -p, each new folder made durable
bool path_exists(const std::string& path);
bool is_directory(const std::string& path);
// Bytes of a regular file, -1 if it is none.
int64_t file_size(const std::string& path);
// Names in a folder, sorted, without "." and "..".
std::vector<std::string> list_dir(const std::string& path);
// Removes a folder of plain files (no sub-folders of sub-folders beyond 16 levels). Links are removed, not
// followed.
void remove_tree(const std::string& path);
void remove_file(const std::string& path);  // absent is fine
std::string join_path(std::string_view folder, std::string_view name);
std::string base_name(std::string_view path);  // "a/b/" -> "b"

// Refuses, with kCorrupt led by `source`, any name that could leave its folder: empty, ".", "..", with a
// slash, backslash or NUL, or above 255 bytes.
void check_file_name(std::string_view name, const std::string& source);

// XXH3-128 of a byte stream, as 32 hex digits.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  void add(const void* data, size_t bytes);
  std::string hex() const;

 private:
  void* state_;
};

struct FileDigest {
  int64_t bytes = 0;
  std::string xxh3_128;
};

// Reads the file once in bounded pieces.
FileDigest digest_file(const std::string& path);

// Writes a new file front to back under a temporary name; commit() makes it appear at `path`, durable.
// Destroyed without commit it leaves nothing behind.
class FileWriter {
 public:
  explicit FileWriter(std::string path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  void write(const void* data, size_t bytes);
  FileDigest commit();
  const std::string& path() const { return path_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::string path_, temporary_;
  int fd_ = -1;
  int64_t bytes_ = 0;
  Hasher hasher_;
};

// One owner of a folder at a time, across processes. The operating system frees the lock when its owner dies,
// so there are no stale ones. Throws kUnavailable naming the owner's pid when the folder is taken.
class DirLock {
 public:
  explicit DirLock(const std::string& dir);
  ~DirLock();
  DirLock(const DirLock&) = delete;
  DirLock& operator=(const DirLock&) = delete;

 private:
  int fd_ = -1;
};

// A regular file open for reading at any offset; a file that shrinks meanwhile is an Error, never a signal.
class RandomFile {
 public:
  explicit RandomFile(std::string path);
  ~RandomFile();
  RandomFile(RandomFile&& other) noexcept;
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;
  void read(int64_t offset, void* destination, size_t bytes) const;  // thread-safe
  int64_t size() const { return size_; }                             // when it was opened
  const std::string& path() const { return path_; }
  // Two names of one file have equal identities.
  std::pair<uint64_t, uint64_t> identity() const { return {device_, inode_}; }

 private:
  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
  uint64_t device_ = 0, inode_ = 0;
};

}  // namespace hoist::io
