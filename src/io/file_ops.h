// Every system call by which io changes or reads files goes through this table, so that a test can make the
// Nth one fail (tests/io/fault_ops.h). Never change it while another thread uses io. Private to io and its
// tests.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

namespace hoist::io {

struct FileOps {
  int (*open)(const char* path, int flags, mode_t mode);
  ssize_t (*pread)(int fd, void* buffer, size_t bytes, off_t offset);
  ssize_t (*write)(int fd, const void* data, size_t bytes);
  int (*fsync)(int fd);
  int (*close)(int fd);
  int (*mkdir)(const char* path, mode_t mode);
  int (*rename)(const char* from, const char* to);
  int (*exchange)(const char* a,
                  const char* b);  // swaps two names in one step; EINVAL or ENOSYS where it cannot
  int (*unlink)(const char* path);
  int (*rmdir)(const char* path);
};

FileOps& file_ops();
const FileOps& system_file_ops();

}  // namespace hoist::io
