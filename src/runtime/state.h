// StateStore: the named memory that outlives a run - weights, moments, accumulators, KV pools - shared by
// plans.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "device/device.h"
#include "kernels/kernel.h"
#include "plan/plan.h"

namespace hoist::runtime {

// States of one role that are declared together lie in one chunk, in order of declaration, each 64-byte
// aligned. Not thread-safe; runs that share a store must not overlap.
class StateStore {
 public:
  explicit StateStore(device::Device& device) : device_(device) {}

  // Makes room for the plan's states that do not exist yet (zero-filled). Throws Error if one exists with
  // another type.
  void declare(const plan::Plan& plan);
  bool has(const std::string& name) const { return slots_.count(name) != 0; }
  const ir::Type& type(const std::string& name) const { return slot(name).type; }
  // Throws Error(kNotFound) for an unknown name.
  kernels::TensorView view(const std::string& name) const;
  std::byte* data(const std::string& name) const { return slot(name).data; }
  std::vector<std::string> names() const;  // in order of declaration
  ir::Role role(const std::string& name) const { return slot(name).role; }
  int64_t bytes() const { return bytes_; }

 private:
  struct Slot {
    ir::Type type;
    ir::Role role;
    std::byte* data;
    int order;
  };
  const Slot& slot(const std::string& name) const;

  device::Device& device_;
  std::vector<device::Buffer> chunks_;
  std::map<std::string, Slot> slots_;
  int64_t bytes_ = 0;
};

}  // namespace hoist::runtime
