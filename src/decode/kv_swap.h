// KvSwap: keys and values that left the KV pools for host memory or a file, moved by a thread of their own
// while steps run.
//
// A sequence's blocks go out and come back as a whole, known by a key. Blocks of a transfer under way must be
// neither written nor given away; whoever drives this learns of its end from ended(). All calls are for one
// thread. A file that fails (full, broken) costs the sequence its KV, to be computed again; nothing else.
// Source: FastServe (arXiv 2305.05920, section 4.2).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/nameless_file.h"

namespace hoist::decode {

class KvSwap {
 public:
  // One pool of keys or values: blocks of `block_bytes` bytes, one after another.
  struct Pool {
    std::byte* data;
    int64_t block_bytes;
  };
  // Room for `blocks` blocks (of every pool): in memory, or when `folder` is not empty in a file there that
  // nobody else sees and that is gone when the process is. Throws Error naming the folder and what it lacks.
  KvSwap(std::vector<Pool> pools, int64_t blocks, const std::string& folder);
  ~KvSwap();  // lets the transfer under way end

  int64_t blocks() const { return blocks_; }
  int64_t free() const { return static_cast<int64_t>(vacant_.size()); }
  bool busy() const { return under_way_ > 0; }
  // Seconds for one block one way: measured once when made.
  double block_seconds() const { return block_seconds_; }

  // The key is new; at most free() blocks.
  void start_out(uint64_t key, std::span<const int32_t> blocks);
  // The key went out, all of it is back afterwards.
  void start_in(uint64_t key, std::span<const int32_t> blocks);
  // What came out is wanted no more. Not while a transfer of it is under way.
  void discard(uint64_t key);

  struct Ended {
    uint64_t key;
    bool in;
    bool failed;  // what was moved is lost, and the key forgotten
  };
  // Appends transfers that ended. With `wait`, blocks until one has, if any is under way.
  void ended(std::vector<Ended>& into, bool wait);

 private:
  struct Job {
    uint64_t key;
    bool in;
    std::vector<int32_t> blocks, stored;
    bool failed = false;
  };
  void start(uint64_t key, bool in, std::span<const int32_t> blocks);
  void work();
  bool move(const Job& job);
  bool move_bytes(bool in, std::byte* data, int64_t bytes, int64_t offset);

  const std::vector<Pool> pools_;
  const int64_t blocks_;
  int64_t stored_bytes_ = 0;          // of a block in all pools
  std::optional<NamelessFile> file_;  // else memory_
  std::vector<std::byte> memory_;     // without a file
  double block_seconds_ = 0;
  std::vector<int32_t> vacant_;
  std::unordered_map<uint64_t, std::vector<int32_t>> stored_;
  int64_t under_way_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Job> queue_;
  std::vector<Job> finished_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace hoist::decode
