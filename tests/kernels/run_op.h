// Runs one op through one kernel, outside any plan: the harness of the kernel tests and of bench_kernels.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/kernel.h"

namespace hoist::kernels {

// Bytes that end where a page nobody may touch begins: one read or write too far ends the test.
class Pages {
 public:
  Pages() = default;
  // `alignment` (a power of two, at most 64) moves the bytes that much away from the edge at most.
  explicit Pages(int64_t bytes, int64_t alignment = 1);
  Pages(const Pages& other);
  Pages(Pages&& other) noexcept { swap(other); }
  Pages& operator=(Pages other) noexcept {
    swap(other);
    return *this;
  }
  ~Pages();
  std::byte* data() const { return data_; }

 private:
  void swap(Pages& other) noexcept;
  std::byte *base_ = nullptr, *data_ = nullptr;
  int64_t bytes_ = 0, alignment_ = 1, mapped_ = 0;
};

// A tensor that owns its bytes.
struct Tensor {
  ir::Type type;
  Pages storage;
  InlineVec<int64_t, 8> dims;  // live lengths

  Tensor() = default;
  explicit Tensor(const ir::Type& type);
  std::byte* data() const { return storage.data(); }
  TensorView view() const { return {data(), type.dtype, dims}; }
  int64_t elements() const { return view().elements(); }
  // Any dtype, as double.
  double get(int64_t i) const;
  void set(int64_t i, double x);
  std::vector<std::byte> bytes() const { return {data(), data() + elements() * dtype_size(type.dtype)}; }
};

// Deterministic: standard normal floats; integers in [0, limit).
Tensor random_tensor(const ir::Type& type, uint64_t seed, int64_t limit = 1);

struct OpCall {
  const ir::OpDef* op = nullptr;
  ir::Attrs attrs;
  std::vector<Tensor> operands;
};

class OpRunner {
 public:
  // Finds the first kernel of the table that supports the call; `variant` restricts the choice to one.
  OpRunner(const OpCall& call, const KernelTable& table, int threads, std::string_view variant = {});
  bool found() const { return kernel_ != nullptr; }
  std::string_view variant() const { return kernel_->variant; }
  void run();
  std::vector<Tensor>& results() { return results_; }
  std::vector<Tensor>& operands() { return operands_; }

 private:
  const ir::OpDef* op_;
  ir::Attrs attrs_;
  std::vector<Tensor> operands_, results_;
  const Kernel* kernel_ = nullptr;
  Prepared prepared_;
  Pages workspace_;
  ThreadPool& pool_;
};

}  // namespace hoist::kernels
