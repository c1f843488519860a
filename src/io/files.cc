#include "io/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "io/file_ops.h"
#include "io/json.h"

namespace hoist::io {
namespace {

constexpr size_t kMaxCall = size_t{1} << 30;  // Linux moves at most 2 GiB per call

const FileOps kSystemOps = {
    [](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); },
    [](int fd, void* buffer, size_t bytes, off_t offset) { return ::pread(fd, buffer, bytes, offset); },
    [](int fd, const void* data, size_t bytes) { return ::write(fd, data, bytes); },
    [](int fd) { return ::fsync(fd); },
    [](int fd) { return ::close(fd); },
    [](const char* path, mode_t mode) { return ::mkdir(path, mode); },
    [](const char* from, const char* to) { return ::rename(from, to); },
    [](const char* a, const char* b) { return ::renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE); },
    [](const char* path) { return ::unlink(path); },
    [](const char* path) { return ::rmdir(path); },
};
FileOps g_ops = kSystemOps;

int open_or_throw(const std::string& path, int flags, mode_t mode = 0) {
  if (path.find('\0') != std::string::npos) throw_invalid("a path holds a NUL byte");
  int fd;
  do fd = file_ops().open(path.c_str(), flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  if (fd >= 0) return fd;
  const int error = errno;
  if (error == ENOENT) throw_not_found(path + ": no such file or folder");
  throw_io(path + ": cannot open", error);
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

void remove_tree_below(const std::string& path, int levels) {
  for (const std::string& name : list_dir(path)) {
    const std::string child = join_path(path, name);
    struct stat st;
    if (::lstat(child.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) {
      if (levels == 0) throw_invalid(child + ": nested too deep to remove");
      remove_tree_below(child, levels - 1);
    } else {
      remove_file(child);
    }
  }
  if (file_ops().rmdir(path.c_str()) != 0 && errno != ENOENT) throw_io(path + ": cannot remove", errno);
}

}  // namespace

FileOps& file_ops() { return g_ops; }
const FileOps& system_file_ops() { return kSystemOps; }

std::string join_path(std::string_view folder, std::string_view name) {
  if (folder.empty()) return std::string(name);
  std::string out(folder);
  if (out.back() != '/') out += '/';
  return out.append(name);
}

std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::string(path.substr(path.find_last_of('/') + 1));
}

bool path_exists(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0;
}
bool is_directory(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}
int64_t file_size(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) ? static_cast<int64_t>(st.st_size) : -1;
}

std::vector<std::string> list_dir(const std::string& path) {
  DIR* dir = ::opendir(path.c_str());
  if (!dir) {
    if (errno == ENOENT) throw_not_found(path + ": no such folder");
    throw_io(path + ": cannot list", errno);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  const int error = errno;
  ::closedir(dir);
  if (error) throw_io(path + ": cannot list", error);
  std::sort(names.begin(), names.end());
  return names;
}

void remove_file(const std::string& path) {
  if (file_ops().unlink(path.c_str()) != 0 && errno != ENOENT) throw_io(path + ": cannot remove", errno);
}

void remove_tree(const std::string& path) { remove_tree_below(path, 16); }

void check_file_name(std::string_view name, const std::string& source) {
  if (name.empty() || name == "." || name == ".." || name.size() > 255 ||
      name.find_first_of(std::string_view("/\\\0", 3)) != std::string_view::npos)
    throw_corrupt(fmt::format("{}: found file name {}, expected a plain name inside the folder", source,
                              json_quote(name.substr(0, 80))));
}

std::string read_file(const std::string& path, size_t max_bytes) {
  const RandomFile file(path);
  if (static_cast<uint64_t>(file.size()) > max_bytes)
    throw_invalid(fmt::format("{}: found {} bytes, expected at most {}", path, file.size(), max_bytes));
  std::string bytes(static_cast<size_t>(file.size()), '\0');
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

void atomic_write(const std::string& path, std::string_view bytes) {
  FileWriter writer(path);
  writer.write(bytes.data(), bytes.size());
  writer.commit();
}

void fsync_dir(const std::string& path) {
  const int fd = open_or_throw(path, O_RDONLY | O_DIRECTORY);
  const int failed = file_ops().fsync(fd) == 0 ? 0 : errno;
  file_ops().close(fd);
  if (failed) throw_io(path + ": cannot fsync the folder", failed);
}

void make_dirs(const std::string& path) {
  if (path.empty() || is_directory(path)) return;
  for (size_t end = path.find('/', 1); true; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (!part.empty() && part != "/" && !is_directory(part)) {
      if (file_ops().mkdir(part.c_str(), 0777) == 0)
        fsync_dir(parent_of(part));
      else if (errno != EEXIST || !is_directory(part))
        throw_io(part + ": cannot make the folder", errno);
    }
    if (end == std::string::npos) return;
  }
}

Hasher::Hasher() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_));
}
Hasher::~Hasher() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }
void Hasher::add(const void* data, size_t bytes) {
  if (bytes) XXH3_128bits_update(static_cast<XXH3_state_t*>(state_), data, bytes);
}
std::string Hasher::hex() const {
  const XXH128_hash_t h = XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_));
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

FileDigest digest_file(const std::string& path) {
  const RandomFile file(path);
  Hasher hasher;
  std::vector<char> buffer(static_cast<size_t>(std::clamp<int64_t>(file.size(), 1, 1 << 20)));
  for (int64_t at = 0; at < file.size();) {
    const auto n = std::min<size_t>(buffer.size(), static_cast<size_t>(file.size() - at));
    file.read(at, buffer.data(), n);
    hasher.add(buffer.data(), n);
    at += static_cast<int64_t>(n);
  }
  return {file.size(), hasher.hex()};
}

FileWriter::FileWriter(std::string path) : path_(std::move(path)) {
  static std::atomic<unsigned> counter{0};
  temporary_ =
      join_path(parent_of(path_), fmt::format(".{}.tmp-{}-{}", name_of(path_), ::getpid(), ++counter));
  fd_ = open_or_throw(temporary_, O_WRONLY | O_CREAT | O_EXCL, 0666);
}

FileWriter::~FileWriter() {
  if (fd_ >= 0) file_ops().close(fd_);
  if (!temporary_.empty()) file_ops().unlink(temporary_.c_str());
}

void FileWriter::write(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  hasher_.add(data, bytes);
  while (bytes > 0) {
    const ssize_t n = file_ops().write(fd_, at, std::min(bytes, kMaxCall));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_io(path_ + ": cannot write", n < 0 ? errno : ENOSPC);
    at += n;
    bytes -= static_cast<size_t>(n);
    bytes_ += n;
  }
}

FileDigest FileWriter::commit() {
  if (file_ops().fsync(fd_) != 0) throw_io(path_ + ": cannot fsync", errno);
  const int fd = std::exchange(fd_, -1);
  if (file_ops().close(fd) != 0) throw_io(path_ + ": cannot close", errno);
  if (file_ops().rename(temporary_.c_str(), path_.c_str()) != 0)
    throw_io(path_ + ": cannot rename the finished file into place", errno);
  temporary_.clear();
  fsync_dir(parent_of(path_));
  return {bytes_, hasher_.hex()};
}

DirLock::DirLock(const std::string& dir) {
  const std::string path = join_path(dir, ".hoist-lock");
  fd_ = open_or_throw(path, O_RDWR | O_CREAT, 0666);
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    char owner[32] = {};
    const ssize_t n = ::pread(fd_, owner, sizeof owner - 1, 0);
    file_ops().close(fd_);
    fd_ = -1;
    if (error != EWOULDBLOCK) throw_io(path + ": cannot lock", error);
    std::string pid;
    for (ssize_t i = 0; i < n && owner[i] >= '0' && owner[i] <= '9'; ++i) pid += owner[i];
    throw Error(
        ErrorCode::kUnavailable,
        fmt::format("{}: another run (process {}) writes to this folder; wait for it or choose another", dir,
                    pid.empty() ? "unknown" : pid));
  }
  // The pid only serves the message above, so failing to write it is no reason to stop.
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, pid.data(), pid.size(), 0) < 0) errno = 0;
}

DirLock::~DirLock() {
  if (fd_ >= 0) file_ops().close(fd_);
}

// O_NONBLOCK: opening a FIFO must not wait for a writer before we can see that it is none of ours.
RandomFile::RandomFile(std::string path)
    : path_(std::move(path)), fd_(open_or_throw(path_, O_RDONLY | O_NONBLOCK)) {
  struct stat st;
  if (::fstat(fd_, &st) != 0 || !S_ISREG(st.st_mode)) {
    file_ops().close(std::exchange(fd_, -1));
    throw_invalid(path_ + ": not a regular file");
  }
  size_ = st.st_size;
  device_ = st.st_dev;
  inode_ = st.st_ino;
}

RandomFile::RandomFile(RandomFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      device_(other.device_),
      inode_(other.inode_) {}

RandomFile::~RandomFile() {
  if (fd_ >= 0) file_ops().close(fd_);
}

void RandomFile::read(int64_t offset, void* destination, size_t bytes) const {
  char* at = static_cast<char*>(destination);
  while (bytes > 0) {
    const ssize_t n = file_ops().pread(fd_, at, std::min(bytes, kMaxCall), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_io(path_ + ": cannot read", errno);
    if (n == 0)
      throw_corrupt(
          fmt::format("{}: the file ends at byte {} while {} more are needed: it was cut short after it "
                      "was opened ({} bytes then)",
                      path_, offset, bytes, size_));
    at += n;
    offset += n;
    bytes -= static_cast<size_t>(n);
  }
}

}  // namespace hoist::io
