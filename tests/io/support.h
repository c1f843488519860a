// Helpers of the io tests: a temporary folder, and file calls that fail on order.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.h"
#include "io/file_ops.h"
#include "io/files.h"

namespace hoist::io {

class TempDir {
 public:
  TempDir() {
    // Thousands of fsyncs follow: in memory where there is such a place.
    std::string pattern =
        (::access("/dev/shm", W_OK) == 0 ? std::string("/dev/shm/") : ::testing::TempDir()) +
        "hoist-io-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() { remove_tree(path_); }
  std::string path(std::string_view name = "") const { return name.empty() ? path_ : join_path(path_, name); }

 private:
  std::string path_;
};

// The message of the Error that `body` throws; "" when it throws none.
template <class F>
std::string message_of(F body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

template <class F>
ErrorCode code_of(F body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no Error was thrown";
  return ErrorCode::kUnavailable;
}

// While it lives, call number `nth` (from 0) that changes the disk fails with `error`; with `sticky`, so do
// all later ones, as if the process had lost its disk. error = kShortWrite makes a write take half of its
// bytes instead.
class FaultyOps {
 public:
  static constexpr int kShortWrite = -1;
  FaultyOps(int nth, int error, bool sticky) {
    state() = {nth, error, sticky, 0};
    FileOps& ops = file_ops();
    ops.open = [](const char* path, int flags, mode_t mode) {
      return refuses() ? -1 : system_file_ops().open(path, flags, mode);
    };
    ops.write = [](int fd, const void* data, size_t bytes) -> ssize_t {
      const bool failed = fails();
      if (failed && state().error == kShortWrite && bytes > 1)
        bytes /= 2;
      else if (failed && state().error != kShortWrite)
        return -1;
      return system_file_ops().write(fd, data, bytes);
    };
    ops.fsync = [](int fd) { return refuses() ? -1 : system_file_ops().fsync(fd); };
    ops.mkdir = [](const char* path, mode_t mode) {
      return refuses() ? -1 : system_file_ops().mkdir(path, mode);
    };
    ops.rename = [](const char* a, const char* b) { return refuses() ? -1 : system_file_ops().rename(a, b); };
    ops.exchange = [](const char* a, const char* b) {
      return refuses() ? -1 : system_file_ops().exchange(a, b);
    };
    ops.unlink = [](const char* path) { return refuses() ? -1 : system_file_ops().unlink(path); };
    ops.rmdir = [](const char* path) { return refuses() ? -1 : system_file_ops().rmdir(path); };
    ops.close = [](int fd) {  // a close that fails has closed nonetheless
      const int rc = system_file_ops().close(fd);
      return refuses() ? -1 : rc;
    };
  }
  ~FaultyOps() { file_ops() = system_file_ops(); }
  static int calls() { return state().calls; }

 private:
  struct State {
    int nth, error;
    bool sticky;
    int calls;
  };
  static State& state() {
    static State s{};
    return s;
  }
  static bool refuses() { return fails() && state().error != kShortWrite; }
  static bool fails() {
    State& s = state();
    const int call = s.calls++;
    if (call != s.nth && !(s.sticky && call > s.nth)) return false;
    if (s.error != kShortWrite) errno = s.error;
    return true;
  }
};

}  // namespace hoist::io
