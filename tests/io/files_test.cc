#include "io/files.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

namespace hoist::io {
namespace {

TEST(Files, AtomicWriteReplacesAndLeavesNothingElse) {
  TempDir dir;
  atomic_write(dir.path("a"), "one");
  atomic_write(dir.path("a"), "two");
  EXPECT_EQ(read_file(dir.path("a"), 100), "two");
  EXPECT_EQ(list_dir(dir.path()), (std::vector<std::string>{"a"}));
}

TEST(Files, FailureAtAnyCallKeepsTheOldFile) {
  for (int error : {ENOSPC, EIO}) {
    for (bool sticky : {false, true}) {
      for (int nth = 0;; ++nth) {
        TempDir dir;
        atomic_write(dir.path("a"), "old");
        std::string message;
        int calls;
        {
          FaultyOps faults(nth, error, sticky);
          message = message_of([&] { atomic_write(dir.path("a"), "new"); });
          calls = FaultyOps::calls();
        }
        const std::string now = read_file(dir.path("a"), 100);
        if (message.empty()) {
          EXPECT_EQ(now, "new");
        } else {
          EXPECT_TRUE(now == "old" || now == "new") << now;
          EXPECT_NE(message.find(dir.path()), std::string::npos) << message;
          EXPECT_NE(message.find(strerror(error)), std::string::npos) << message;
          if (!sticky) {
            EXPECT_EQ(list_dir(dir.path()), (std::vector<std::string>{"a"})) << nth;
          }
        }
        if (calls <= nth) break;
      }
    }
  }
}

TEST(Files, ShortWritesAreContinued) {
  TempDir dir;
  FaultyOps faults(0, FaultyOps::kShortWrite, true);
  atomic_write(dir.path("a"), std::string(1000, 'x') + "end");
  EXPECT_EQ(read_file(dir.path("a"), 2000), std::string(1000, 'x') + "end");
}

TEST(Files, ReadsOnlyRegularFilesUpToTheCap) {
  TempDir dir;
  atomic_write(dir.path("a"), "12345");
  EXPECT_NE(message_of([&] { read_file(dir.path("a"), 4); }), "");
  EXPECT_EQ(code_of([&] { read_file(dir.path("b"), 4); }), ErrorCode::kNotFound);
  EXPECT_NE(message_of([&] { read_file(dir.path(), 4); }), "");
  ASSERT_EQ(::mkfifo(dir.path("pipe").c_str(), 0600), 0);
  EXPECT_NE(message_of([&] { read_file(dir.path("pipe"), 4); }).find("not a regular file"),
            std::string::npos);
  EXPECT_NE(message_of([&] { read_file(std::string("a\0b", 3), 4); }), "");
}

TEST(Files, ShrunkenFileIsAnError) {
  TempDir dir;
  atomic_write(dir.path("a"), std::string(10000, 'x'));
  const RandomFile file(dir.path("a"));
  ASSERT_EQ(::truncate(dir.path("a").c_str(), 5000), 0);
  char buffer[100];
  file.read(4900, buffer, 100);
  EXPECT_NE(message_of([&] { file.read(4950, buffer, 100); }).find("cut short"), std::string::npos);
}

TEST(Files, MakeDirsMakesAllLevels) {
  TempDir dir;
  make_dirs(dir.path("a/b//c/"));
  EXPECT_TRUE(is_directory(dir.path("a/b/c")));
  make_dirs(dir.path("a/b/c"));
  atomic_write(dir.path("a/f"), "");
  EXPECT_NE(message_of([&] { make_dirs(dir.path("a/f/c")); }), "");
}

TEST(Files, LockNamesItsOwnerAndDiesWithIt) {
  TempDir dir;
  {
    DirLock lock(dir.path());
    const std::string message = message_of([&] { DirLock second(dir.path()); });
    EXPECT_NE(message.find("process " + std::to_string(::getpid())), std::string::npos) << message;
  }
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    DirLock lock(dir.path());
    if (::write(ready[1], "x", 1) != 1) _exit(1);
    ::pause();
  }
  char c;
  ASSERT_EQ(::read(ready[0], &c, 1), 1);
  EXPECT_EQ(code_of([&] { DirLock second(dir.path()); }), ErrorCode::kUnavailable);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  DirLock again(dir.path());
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(Files, NamesThatLeaveTheFolderAreRefused) {
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("/etc/x"),
        std::string("..\\x"), std::string("a\0b", 3), std::string(256, 'x'), std::string("../../x")})
    EXPECT_EQ(code_of([&] { check_file_name(name, "index"); }), ErrorCode::kCorrupt) << name;
  check_file_name("model-00001-of-00002.safetensors", "index");
  check_file_name("..a", "index");
}

TEST(Files, HashIsXxh3) {
  TempDir dir;
  atomic_write(dir.path("a"), "");
  EXPECT_EQ(digest_file(dir.path("a")).xxh3_128,
            "99aa06d3014798d86001c324468d497f");  // published for the empty input
  FileWriter writer(dir.path("b"));
  for (int i = 0; i < 3000; ++i) writer.write("0123456789", 10);
  const FileDigest written = writer.commit();
  EXPECT_EQ(written.bytes, 30000);
  EXPECT_EQ(digest_file(dir.path("b")).xxh3_128, written.xxh3_128);
}

}  // namespace
}  // namespace hoist::io
