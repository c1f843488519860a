// DiskTier: the lowest tier of memory, a file that has no name, with transfers that run beside the computing.
//
// Homes are reserved once and live as long as the tier. Transfers go past the page cache where the file
// system allows it (O_DIRECT), so that a memory limit on the process holds for what it keeps, and are cut
// into blocks that several threads move at once. The file is gone with the process, however it ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace hoist::device {

struct DiskStats {
  int64_t bytes_read = 0, bytes_written = 0;
  double waited = 0;  // seconds that wait() had to wait
};

// Calls come from one thread at a time.
class DiskTier {
 public:
  static constexpr int64_t kPage = 4096;  // grain of homes

  // The file is made in `folder`. Throws Error(kIo) naming the folder.
  explicit DiskTier(const std::string& folder, int threads = 4);
  ~DiskTier();
  DiskTier(const DiskTier&) = delete;
  DiskTier& operator=(const DiskTier&) = delete;

  // Room for `bytes`, zeros. Throws Error(kResourceExhausted) when the disk is full, with what is missing.
  int64_t reserve(int64_t bytes);
  int64_t reserved() const;
  bool direct() const;  // past the page cache
  const std::string& folder() const;

  // Any address and length; returns when done.
  void read(int64_t home, std::byte* to, int64_t bytes);
  void write(int64_t home, const std::byte* from, int64_t bytes);

  // Starts a transfer of memory that is kPage-aligned, of `bytes` rounded up to kPage (of both memory and
  // home), once the transfers `after` have ended. Started in an order in which each may wait for earlier ones
  // only.
  using Ticket = uint64_t;
  Ticket start_load(int64_t home, std::byte* to, int64_t bytes, std::span<const Ticket> after);
  Ticket start_store(int64_t home, const std::byte* from, int64_t bytes, std::span<const Ticket> after);
  // Returns when the transfer has ended. Throws Error(kIo) if any transfer has failed.
  void wait(Ticket ticket);
  void wait_all();

  const DiskStats& stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hoist::device
