// A folder for harnesses of what reads files; gone when the process ends.
#pragma once

#include <stdlib.h>

#include <fstream>
#include <string>
#include <string_view>

#include "base/check.h"
#include "io/files.h"

// In memory where there is such a folder: it is written to for every input.
inline const std::string& scratch_folder() {
  struct Folder {
    Folder() {
      path = hoist::io::is_directory("/dev/shm") ? "/dev/shm/hoist_fuzz_XXXXXX" : "/tmp/hoist_fuzz_XXXXXX";
      HOIST_CHECK(::mkdtemp(path.data()), "no folder to write to");
    }
    ~Folder() { hoist::io::remove_tree(path); }
    std::string path;
  };
  static const Folder folder;
  return folder.path;
}

// Returns the file's path. Not durable, unlike io::atomic_write.
inline std::string write_scratch(std::string_view name, std::string_view bytes) {
  std::string path = hoist::io::join_path(scratch_folder(), name);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}
