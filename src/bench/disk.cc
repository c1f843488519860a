// Disk speed: large blocks with several requests in flight, past the page cache where possible.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/nameless_file.h"
#include "bench/ceilings.h"
#include "bench/machine.h"

namespace hoist::bench {

namespace {

constexpr int64_t kBlock = int64_t{4} << 20;
constexpr int kInFlight = 4;

// GB/s over all blocks of the file; the first failing request ends it.
template <class Transfer>
double sweep(const std::string& folder, int64_t blocks, const HostMemory& memory, Transfer transfer,
             auto&& finish) {
  std::atomic<int64_t> next{0};
  std::atomic<int> failure{0};
  std::vector<std::thread> threads;
  const double start = now();
  for (int t = 0; t < kInFlight; ++t)
    threads.emplace_back([&, t] {
      for (int64_t b; !failure && (b = next++) < blocks;) {
        std::byte* at = memory.data() + t * kBlock;
        for (int64_t done = 0; done < kBlock;) {
          const int64_t n = transfer(at + done, static_cast<size_t>(kBlock - done), b * kBlock + done);
          if (n <= 0) {
            failure = n < 0 ? errno : EIO;
            return;
          }
          done += n;
        }
      }
    });
  for (std::thread& t : threads) t.join();
  if (!failure) finish(failure);
  const double seconds = now() - start;
  if (failure) throw_io("--disk " + folder, failure);
  return static_cast<double>(blocks * kBlock) / seconds * 1e-9;
}

}  // namespace

DiskSpeed measure_disk(const std::string& folder, int64_t bytes) {
  const int64_t blocks = std::max<int64_t>(1, bytes / kBlock);
  HostMemory memory(kInFlight * kBlock);
  const NamelessFile file(folder, NamelessFile::Caching::kDirect);
  DiskSpeed speed;
  speed.direct = file.direct();
  speed.write = sweep(
      folder, blocks, memory,
      [&](std::byte* at, size_t n, int64_t offset) { return pwrite(file.fd(), at, n, offset); },
      [&](std::atomic<int>& failure) {
        if (fsync(file.fd()) != 0) failure = errno;
      });
  if (!speed.direct) posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  speed.read = sweep(
      folder, blocks, memory,
      [&](std::byte* at, size_t n, int64_t offset) { return pread(file.fd(), at, n, offset); },
      [](std::atomic<int>&) {});
  return speed;
}

}  // namespace hoist::bench
