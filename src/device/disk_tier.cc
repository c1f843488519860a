#include "device/disk_tier.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/nameless_file.h"

namespace hoist::device {

namespace {

constexpr int64_t kBlock = int64_t{4} << 20;  // of one request
constexpr int64_t kBounce = int64_t{1} << 20;

int64_t align_up(int64_t n) { return (n + DiskTier::kPage - 1) / DiskTier::kPage * DiskTier::kPage; }

}  // namespace

class DiskTier::Impl {
 public:
  Impl(const std::string& folder, int threads)
      : folder_(folder), file_(folder, NamelessFile::Caching::kDirect) {
    void* bounce = ::mmap(nullptr, static_cast<size_t>(kBounce), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bounce == MAP_FAILED)
      throw Error(ErrorCode::kResourceExhausted, "disk tier: no memory for its buffer");
    bounce_ = static_cast<std::byte*>(bounce);
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& t : threads_) t.join();
    ::munmap(bounce_, static_cast<size_t>(kBounce));
  }

  int64_t reserve(int64_t bytes) {
    const int64_t home = size_, more = align_up(bytes);
    if (more == 0) return home;
    const int failed = file_.reserve(home + more);
    if (failed)
      throw Error(ErrorCode::kResourceExhausted,
                  "disk tier in " + folder_ + ": no room for " + std::to_string(more) + " bytes beside the " +
                      std::to_string(home) + " it has: " + std::strerror(failed));
    size_ += more;
    return home;
  }

  Ticket start(bool store, int64_t home, std::byte* memory, int64_t bytes, std::span<const Ticket> after) {
    bytes = align_up(bytes);
    HOIST_CHECK(home >= 0 && home % kPage == 0 && home + bytes <= size_ &&
                    reinterpret_cast<uintptr_t>(memory) % kPage == 0,
                "a transfer outside its home, or not on a page");
    std::unique_lock lock(mutex_);
    const Ticket ticket = first_ + transfers_.size();
    Transfer& t = transfers_.emplace_back();
    for (const Ticket before : after) {
      HOIST_CHECK(before < ticket, "a transfer after a later one");
      if (!ended(before)) t.after.push_back(before);
    }
    for (int64_t at = 0; at < bytes; at += kBlock) {
      blocks_.push_back({ticket, store, home + at, memory + at, std::min(kBlock, bytes - at)});
      ++t.left;
    }
    (store ? stats_.bytes_written : stats_.bytes_read) += bytes;
    lock.unlock();
    changed_.notify_all();
    return ticket;
  }

  void wait(Ticket ticket) {
    std::unique_lock lock(mutex_);
    HOIST_CHECK(ticket < first_ + transfers_.size(), "waiting for a transfer that was not started");
    if (!ended(ticket) && !failure_) {
      const auto begin = std::chrono::steady_clock::now();
      ended_.wait(lock, [&] { return ended(ticket) || failure_; });
      stats_.waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    if (failure_) fail();
  }

  void wait_all() {
    std::unique_lock lock(mutex_);
    const auto begin = std::chrono::steady_clock::now();
    ended_.wait(lock, [&] { return running_ == 0 && (blocks_.empty() || failure_); });
    stats_.waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (failure_) fail();
    // Tickets so far count as ended.
    first_ += transfers_.size();
    transfers_.clear();
  }

  void sync(bool store, int64_t home, std::byte* memory, int64_t bytes) {
    HOIST_CHECK(home >= 0 && home + bytes <= size_, "a transfer outside its home");
    wait_all();
    // Through an aligned buffer, page by page; what lies around the ends of a store is read first.
    while (bytes > 0) {
      const int64_t page = home / kPage * kPage, skip = home - page;
      const int64_t part = std::min(bytes, kBounce - skip), span = align_up(skip + part);
      if (!store || skip != 0 || (skip + part) % kPage != 0) transfer(false, page, bounce_, span);
      if (store) {
        std::memcpy(bounce_ + skip, memory, static_cast<size_t>(part));
        transfer(true, page, bounce_, span);
      } else {
        std::memcpy(memory, bounce_ + skip, static_cast<size_t>(part));
      }
      (store ? stats_.bytes_written : stats_.bytes_read) += part;
      home += part;
      memory += part;
      bytes -= part;
    }
  }

  std::string folder_;
  NamelessFile file_;
  int64_t size_ = 0;
  DiskStats stats_;

 private:
  struct Transfer {
    std::vector<Ticket> after;
    int left = 0;  // blocks
  };
  struct Block {
    Ticket ticket;
    bool store;
    int64_t home;
    std::byte* memory;
    int64_t bytes;
  };

  bool ended(Ticket t) const { return t < first_ || transfers_[static_cast<size_t>(t - first_)].left == 0; }

  void transfer(bool store, int64_t home, std::byte* memory, int64_t bytes) {
    if (const int error = move(store, home, memory, bytes))
      throw_io("disk tier in " + folder_ + ": " + (store ? "write" : "read") + " of " +
                   std::to_string(bytes) + " bytes failed",
               error);
  }

  // 0, or errno.
  int move(bool store, int64_t home, std::byte* memory, int64_t bytes) const {
    return store ? file_.write(memory, bytes, home) : file_.read(memory, bytes, home);
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || (!blocks_.empty() && !failure_); });
      if (stopping_) return;
      const Block b = blocks_.front();
      blocks_.pop_front();
      ++running_;
      // What it waits for was started before it, so it is done or in other hands.
      const auto ready = [&] {
        const std::vector<Ticket>& after = transfers_[static_cast<size_t>(b.ticket - first_)].after;
        return std::all_of(after.begin(), after.end(), [&](Ticket t) { return ended(t); });
      };
      changed_.wait(lock, [&] { return stopping_ || failure_ || ready(); });
      int error = 0;
      if (!stopping_ && !failure_) {
        lock.unlock();
        error = move(b.store, b.home, b.memory, b.bytes);
        lock.lock();
      }
      --running_;
      if (error && !failure_) failure_ = error;
      if (!error && --transfers_[static_cast<size_t>(b.ticket - first_)].left == 0) changed_.notify_all();
      ended_.notify_all();
    }
  }

  [[noreturn]] void fail() { throw_io("disk tier in " + folder_ + ": a transfer failed", failure_); }

  std::byte* bounce_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_, ended_;
  std::deque<Block> blocks_;
  std::deque<Transfer> transfers_;
  Ticket first_ = 0;  // of transfers_
  int running_ = 0, failure_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

DiskTier::DiskTier(const std::string& folder, int threads) : impl_(std::make_unique<Impl>(folder, threads)) {}
DiskTier::~DiskTier() = default;
int64_t DiskTier::reserve(int64_t bytes) { return impl_->reserve(bytes); }
int64_t DiskTier::reserved() const { return impl_->size_; }
bool DiskTier::direct() const { return impl_->file_.direct(); }
const std::string& DiskTier::folder() const { return impl_->folder_; }
void DiskTier::read(int64_t home, std::byte* to, int64_t bytes) { impl_->sync(false, home, to, bytes); }
void DiskTier::write(int64_t home, const std::byte* from, int64_t bytes) {
  impl_->sync(true, home, const_cast<std::byte*>(from), bytes);
}
DiskTier::Ticket DiskTier::start_load(int64_t home, std::byte* to, int64_t bytes,
                                      std::span<const Ticket> after) {
  return impl_->start(false, home, to, bytes, after);
}
DiskTier::Ticket DiskTier::start_store(int64_t home, const std::byte* from, int64_t bytes,
                                       std::span<const Ticket> after) {
  return impl_->start(true, home, const_cast<std::byte*>(from), bytes, after);
}
void DiskTier::wait(Ticket ticket) { impl_->wait(ticket); }
void DiskTier::wait_all() { impl_->wait_all(); }
const DiskStats& DiskTier::stats() const { return impl_->stats_; }

}  // namespace hoist::device
