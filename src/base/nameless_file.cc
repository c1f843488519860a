#include "base/nameless_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.h"

namespace hoist {

NamelessFile::NamelessFile(const std::string& folder, Caching caching) {
  std::string path = folder + "/.hoist-XXXXXX";
  fd_ = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd_ < 0) throw_io("cannot make a file in " + folder, errno);
  if (caching == Caching::kDirect) {
    const int direct = ::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
    if (direct >= 0) {
      ::close(fd_);
      fd_ = direct;
      direct_ = true;
    }
  }
  ::unlink(path.c_str());
}

NamelessFile::~NamelessFile() {
  if (fd_ >= 0) ::close(fd_);
}

int NamelessFile::reserve(int64_t size) const {
  const int failed = ::posix_fallocate(fd_, 0, size);
  // A file system that cannot reserve can still grow.
  if (failed == EOPNOTSUPP || failed == EINVAL) return ::ftruncate(fd_, size) != 0 ? errno : 0;
  return failed;
}

int NamelessFile::read(void* to, int64_t bytes, int64_t offset) const {
  for (char* at = static_cast<char*>(to); bytes > 0;) {
    const ssize_t n = ::pread(fd_, at, static_cast<size_t>(bytes), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    at += n;
    offset += n;
    bytes -= n;
  }
  return 0;
}

int NamelessFile::write(const void* from, int64_t bytes, int64_t offset) const {
  for (const char* at = static_cast<const char*>(from); bytes > 0;) {
    const ssize_t n = ::pwrite(fd_, at, static_cast<size_t>(bytes), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : ENOSPC;
    at += n;
    offset += n;
    bytes -= n;
  }
  return 0;
}

}  // namespace hoist
