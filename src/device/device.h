// Device: where memory lives. Kernels are chosen apart from it (kernels/kernel.h).
//
// `cpu` allocates host memory. `null` hands out addresses that nobody may touch and counts what it is asked
// for: order, memory and bytes can then be tested exactly, for models of any size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace hoist::device {

// Owns one allocation; movable.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::byte* data, int64_t bytes, class Device* owner) : data_(data), bytes_(bytes), owner_(owner) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  // Gives the memory back to the system, its content lost, while the addresses stay ours; take() makes it
  // memory again, zero-filled. Throws Error(kResourceExhausted) as allocate does.
  void give_back();
  void take();

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  Device* owner_ = nullptr;
};

struct DeviceStats {
  int64_t bytes_now = 0, bytes_peak = 0, allocations = 0;
};

// Thread-compatible: callers serialize allocation. A device outlives its buffers.
class Device {
 public:
  virtual ~Device() = default;
  virtual const char* name() const = 0;
  // Zero-filled, 4096-byte aligned memory. Throws Error(kResourceExhausted) naming the size.
  Buffer allocate(int64_t bytes);
  // Null devices compute nothing and their memory must not be touched.
  virtual bool computes() const { return true; }
  const DeviceStats& stats() const { return stats_; }

 protected:
  virtual std::byte* map(int64_t bytes) = 0;  // nullptr on failure
  virtual void unmap(std::byte* data, int64_t bytes) = 0;
  virtual void discard(std::byte* data, int64_t bytes) = 0;
  virtual bool populate(std::byte* data, int64_t bytes) = 0;

 private:
  friend class Buffer;
  [[noreturn]] void refuse(int64_t bytes) const;
  DeviceStats stats_;
};

std::unique_ptr<Device> make_cpu_device();
std::unique_ptr<Device> make_null_device();

}  // namespace hoist::device
