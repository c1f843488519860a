// Servers that run on this machine as this user: `hoist serve` leaves a note, `hoist ps` reads them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hoist::cli {

struct RunningServer {
  int64_t pid = 0;
  std::string url, model;
  int64_t started = 0;       // seconds since 1970
  int64_t memory_bytes = 0;  // resident
};

// The note lies there as long as this lives, in a folder that only this user may enter. That it cannot be
// written keeps no server from running.
class ServerNote {
 public:
  ServerNote(const std::string& url, const std::string& model);
  ~ServerNote();

 private:
  std::string path_;
};

// Notes of processes that are no more are removed.
std::vector<RunningServer> running_servers();

}  // namespace hoist::cli
