// StateStore: the named memory that outlives a run - weights, moments, accumulators, KV pools - shared by
// plans.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/disk_tier.h"
#include "kernels/kernel.h"
#include "plan/plan.h"

namespace hoist::runtime {

// States of one role that are declared together lie in one chunk, in order of declaration, each 64-byte
// aligned. States that a plan moves (Tier::kDisk) have their home in the disk tier instead; between runs the
// arena of the plan that ran last may hold newer content of some. Not thread-safe; runs that share a store
// must not overlap.
class StateStore {
 public:
  // `disk` may be nullptr as long as no plan moves states; it outlives the store.
  explicit StateStore(device::Device& device, device::DiskTier* disk = nullptr)
      : device_(device), disk_(disk) {}

  // Makes room for the plan's states that do not exist yet (zero-filled). Throws Error if one exists with
  // another type.
  void declare(const plan::Plan& plan);
  bool has(const std::string& name) const { return slots_.count(name) != 0; }
  const ir::Type& type(const std::string& name) const { return slot(name).type; }
  // Throws Error(kNotFound) for an unknown name.
  kernels::TensorView view(const std::string& name) const;
  // nullptr for a state with its home on disk.
  std::byte* data(const std::string& name) const { return slot(name).data; }
  // All bytes of a state, wherever it is. Throws Error(kIo).
  void read(const std::string& name, void* to) const;
  void write(const std::string& name, const void* from);
  std::vector<std::string> names() const;  // in order of declaration
  ir::Role role(const std::string& name) const { return slot(name).role; }
  int64_t bytes() const { return bytes_; }            // in memory
  int64_t disk_bytes() const { return disk_bytes_; }  // homes

  // ---- for executors of plans that move states ----
  device::DiskTier* disk() const { return disk_; }
  int64_t home(const std::string& name) const;
  // Content that lies in an executor's arena between its runs; `dirty`: newer than its home.
  struct Carried {
    std::string name;
    int64_t at, bytes;  // the part of the state
    std::byte* data;
    bool dirty;
  };
  // Who carries states; nullptr: nobody.
  const void* carrier() const { return carrier_; }
  void carry(const void* carrier, std::vector<Carried> states);
  // Brings all homes up to date; nobody carries states any more.
  void release();

 private:
  struct Slot {
    ir::Type type;
    ir::Role role;
    std::byte* data;  // nullptr: at `home` in the disk tier
    int order;
    int64_t home = -1;
  };
  const Slot& slot(const std::string& name) const;

  device::Device& device_;
  device::DiskTier* disk_;
  std::vector<device::Buffer> chunks_;
  std::map<std::string, Slot> slots_;
  int64_t bytes_ = 0, disk_bytes_ = 0;
  const void* carrier_ = nullptr;
  std::vector<Carried> carried_;
};

}  // namespace hoist::runtime
