#include "device/device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"

namespace hoist::device {

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(owner_, other.owner_);
  return *this;
}

Buffer::~Buffer() {
  if (!owner_) return;
  owner_->stats_.bytes_now -= bytes_;
  owner_->unmap(data_, bytes_);
}

void Buffer::give_back() {
  if (owner_) owner_->discard(data_, bytes_);
}

void Buffer::take() {
  if (owner_ && !owner_->populate(data_, bytes_)) owner_->refuse(bytes_);
}

void Device::refuse(int64_t bytes) const {
  throw Error(ErrorCode::kResourceExhausted,
              std::string(name()) + " device: cannot allocate " + std::to_string(bytes) + " bytes");
}

Buffer Device::allocate(int64_t bytes) {
  if (bytes == 0) return {};
  std::byte* data = bytes > 0 ? map(bytes) : nullptr;
  if (!data) refuse(bytes);
  stats_.bytes_now += bytes;
  stats_.bytes_peak = std::max(stats_.bytes_peak, stats_.bytes_now);
  ++stats_.allocations;
  return Buffer(data, bytes, this);
}

namespace {

constexpr int64_t kHugePage = 2 << 20;
constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, which older headers lack

std::byte* at_once(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
}

class CpuDevice final : public Device {
 public:
  const char* name() const override { return "cpu"; }

 protected:
  std::byte* map(int64_t bytes) override {
    // Populated at once: what was planned is ours from the start, and a run cannot fail for memory later.
    // Large buffers ask for huge pages, which must begin at their own multiples: reading scattered rows of a
    // cache of keys would otherwise wait for page tables more than for memory.
    const auto size = static_cast<size_t>(bytes);
    if (bytes < 2 * kHugePage) return at_once(size);
    void* p = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)), from = reinterpret_cast<uintptr_t>(p);
    const uintptr_t begin = (from + kHugePage - 1) / kHugePage * kHugePage,
                    end = (begin + size + page - 1) / page * page;
    if (begin > from) munmap(p, begin - from);
    if (end < from + size + kHugePage) munmap(reinterpret_cast<void*>(end), from + size + kHugePage - end);
    void* data = reinterpret_cast<void*>(begin);
    madvise(data, size, MADV_HUGEPAGE);  // best effort
    if (madvise(data, size, kPopulateWrite) != 0) {
      munmap(data, size);
      return at_once(size);
    }
    return static_cast<std::byte*>(data);
  }
  void discard(std::byte* data, int64_t bytes) override {
    madvise(data, static_cast<size_t>(bytes), MADV_DONTNEED);
  }
  bool populate(std::byte* data, int64_t bytes) override {
    // A kernel that does not know how gives the pages as they are touched.
    return madvise(data, static_cast<size_t>(bytes), kPopulateWrite) == 0 || errno == EINVAL;
  }
  void unmap(std::byte* data, int64_t bytes) override { munmap(data, static_cast<size_t>(bytes)); }
};

class NullDevice final : public Device {
 public:
  const char* name() const override { return "null"; }
  bool computes() const override { return false; }

 protected:
  std::byte* map(int64_t bytes) override {
    std::byte* p = reinterpret_cast<std::byte*>(next_);
    next_ += (static_cast<uint64_t>(bytes) + 4095) / 4096 * 4096;
    return p;
  }
  void unmap(std::byte*, int64_t) override {}
  void discard(std::byte*, int64_t) override {}
  bool populate(std::byte*, int64_t) override { return true; }

 private:
  uint64_t next_ = 4096;
};

}  // namespace

std::unique_ptr<Device> make_cpu_device() { return std::make_unique<CpuDevice>(); }
std::unique_ptr<Device> make_null_device() { return std::make_unique<NullDevice>(); }

}  // namespace hoist::device
