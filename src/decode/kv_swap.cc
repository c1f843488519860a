#include "decode/kv_swap.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/error.h"

namespace hoist::decode {

namespace {

NamelessFile file_for(const std::string& folder, int64_t bytes) {
  const auto fail = [&](const std::string& why) {
    throw Error(ErrorCode::kUnavailable, folder + ": cannot make a file of " + std::to_string(bytes) +
                                             " bytes for swapped keys and values: " + why);
  };
  try {
    NamelessFile file(folder);
    // Room is taken now, so that no transfer finds the disk full.
    if (const int error = file.reserve(bytes)) fail(std::strerror(error));
    return file;
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kUnavailable) throw;
    fail(e.what());
    throw;
  }
}

}  // namespace

KvSwap::KvSwap(std::vector<Pool> pools, int64_t blocks, const std::string& folder)
    : pools_(std::move(pools)), blocks_(blocks) {
  HOIST_CHECK(blocks > 0 && blocks <= INT32_MAX && !pools_.empty(), "a swap space for nothing");
  for (const Pool& p : pools_) stored_bytes_ += p.block_bytes;
  if (folder.empty())
    memory_.resize(static_cast<size_t>(blocks * stored_bytes_));
  else
    file_.emplace(file_for(folder, blocks * stored_bytes_));
  for (int64_t b = blocks; b-- > 0;) vacant_.push_back(static_cast<int32_t>(b));
  // Out and back: nothing is lost of what the pools hold, were it something.
  const Job probe{0, false, {0}, {0}};
  Job back = probe;
  back.in = true;
  const auto begin = std::chrono::steady_clock::now();
  if (!move(probe) || !move(back))
    throw Error(ErrorCode::kUnavailable,
                folder + ": cannot write and read swapped keys and values: " + std::strerror(errno));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  block_seconds_ = std::max(took.count() / 2, 1e-9);
  thread_ = std::thread([this] { work(); });
}

KvSwap::~KvSwap() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void KvSwap::start_out(uint64_t key, std::span<const int32_t> blocks) {
  HOIST_CHECK(static_cast<int64_t>(blocks.size()) <= free() && !stored_.contains(key), "swap space");
  std::vector<int32_t>& stored = stored_[key];
  for (size_t i = 0; i < blocks.size(); ++i) {
    stored.push_back(vacant_.back());
    vacant_.pop_back();
  }
  start(key, false, blocks);
}

void KvSwap::start_in(uint64_t key, std::span<const int32_t> blocks) {
  const auto it = stored_.find(key);
  HOIST_CHECK(it != stored_.end() && it->second.size() == blocks.size(), "what comes in is what went out");
  start(key, true, blocks);
}

void KvSwap::start(uint64_t key, bool in, std::span<const int32_t> blocks) {
  Job job{key, in, {blocks.begin(), blocks.end()}, stored_[key]};
  ++under_way_;
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void KvSwap::discard(uint64_t key) {
  const auto it = stored_.find(key);
  if (it == stored_.end()) return;
  vacant_.insert(vacant_.end(), it->second.begin(), it->second.end());
  stored_.erase(it);
}

void KvSwap::ended(std::vector<Ended>& into, bool wait) {
  if (under_way_ == 0) return;
  std::vector<Job> jobs;
  {
    std::unique_lock lock(mutex_);
    if (wait) done_.wait(lock, [&] { return !finished_.empty(); });
    jobs.swap(finished_);
  }
  for (const Job& j : jobs) {
    --under_way_;
    into.push_back({j.key, j.in, j.failed});
    if (j.in || j.failed) discard(j.key);
  }
}

void KvSwap::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    Job job = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    job.failed = !move(job);
    lock.lock();
    finished_.push_back(std::move(job));
    done_.notify_one();
  }
}

bool KvSwap::move(const Job& job) {
  for (size_t i = 0; i < job.blocks.size(); ++i) {
    int64_t offset = job.stored[i] * stored_bytes_;
    for (const Pool& p : pools_) {
      if (!move_bytes(job.in, p.data + job.blocks[i] * p.block_bytes, p.block_bytes, offset)) return false;
      offset += p.block_bytes;
    }
  }
  return true;
}

bool KvSwap::move_bytes(bool in, std::byte* data, int64_t bytes, int64_t offset) {
  if (!file_) {
    std::byte* kept = memory_.data() + offset;
    std::memcpy(in ? data : kept, in ? kept : data, static_cast<size_t>(bytes));
    return true;
  }
  return (in ? file_->read(data, bytes, offset) : file_->write(data, bytes, offset)) == 0;
}

}  // namespace hoist::decode
